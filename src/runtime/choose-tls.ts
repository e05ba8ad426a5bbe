/**
 * Which TLS library runs: OpenSSL inside Node where it has the callbacks for QUIC, else GnuTLS. NETQUIC_TLS forces one.
 */

import type { TlsProvider } from "../port/tls.js";
import { gnutlsMissing, gnutlsTls } from "./native/tls-gnutls.js";
import { opensslMissing, opensslTls } from "./native/tls-openssl.js";

const INSTALL = "apt-get install libgnutls30";

/**
 * @throws Error with code `ERR_NETQUIC_NO_TLS` when no library, or not the forced one, is there; its message has the
 *   line that fixes it. `ERR_NETQUIC_NO_ADDON` when the addon is not built.
 */
export function chooseTls(env: Readonly<Record<string, string | undefined>>): TlsProvider {
  const forced = env.NETQUIC_TLS ?? "";
  if (forced !== "" && forced !== "openssl" && forced !== "gnutls") {
    throw noTls(`NETQUIC_TLS is ${JSON.stringify(forced)}; it can be openssl or gnutls`);
  }
  const noOpenssl = opensslMissing();
  if (forced === "openssl" && noOpenssl !== "") {
    throw noTls(`NETQUIC_TLS=openssl, but ${noOpenssl}; use a newer Node, or NETQUIC_TLS=gnutls`);
  }
  if (forced !== "gnutls" && noOpenssl === "") return opensslTls();
  const noGnutls = gnutlsMissing();
  if (noGnutls === "") return gnutlsTls();
  if (forced === "gnutls") throw noTls(`NETQUIC_TLS=gnutls, but ${noGnutls}; run: ${INSTALL}`);
  throw noTls(`no TLS library for QUIC: ${noOpenssl}; ${noGnutls}; run: ${INSTALL}`);
}

function noTls(message: string): Error {
  return Object.assign(new Error(message), { code: "ERR_NETQUIC_NO_TLS" });
}
