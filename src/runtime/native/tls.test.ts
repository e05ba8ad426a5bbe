/** The contract of port/tls over each library that the running Node has, and across both where there are two. */

import type { TlsProvider } from "../../port/tls.js";
import { tlsContract } from "./tls.contract.js";
import { pskContract } from "./tls-psk.contract.js";
import { crlContract } from "./tls-crl.contract.js";
import { gnutlsMissing, gnutlsTls } from "./tls-gnutls.js";
import { opensslMissing, opensslTls } from "./tls-openssl.js";

const providers: TlsProvider[] = [];
if (opensslMissing() === "") providers.push(opensslTls());
if (gnutlsMissing() === "") providers.push(gnutlsTls());

for (const client of providers) {
  for (const server of providers) {
    const name = client === server ? client.name : `${client.name} client, ${server.name} server`;
    const lifecycles = client === server ? 10_000 : 0;
    tlsContract(
      name,
      () => client,
      () => server,
      lifecycles,
    );
    pskContract(name, client, server);
    crlContract(name, client, server);
  }
}
