/** TLS by the OpenSSL inside the running Node (3.5 or later, its callbacks for QUIC): Node 24.5 and later. */

import type { TlsProvider } from "../../port/tls.js";
import { missingLibrary, nativeTlsProvider } from "./tls-session.js";

/** Why the running Node's OpenSSL cannot do TLS for QUIC, or "" when it can. */
export function opensslMissing(): string {
  return missingLibrary("openssl");
}

/** @throws Error with code `ERR_NETQUIC_NO_TLS` when the running Node's OpenSSL is too old. */
export function opensslTls(): TlsProvider {
  return nativeTlsProvider("openssl");
}
