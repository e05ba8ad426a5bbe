/** TLS by the system's GnuTLS (3.7.2 or later), loaded at run time: for a Node whose OpenSSL knows no QUIC. */

import type { TlsProvider } from "../../port/tls.js";
import { missingLibrary, nativeTlsProvider } from "./tls-session.js";

/** Why GnuTLS cannot be used, or "" when it can. */
export function gnutlsMissing(): string {
  return missingLibrary("gnutls");
}

/** @throws Error with code `ERR_NETQUIC_NO_TLS` when the library is not installed or too old. */
export function gnutlsTls(): TlsProvider {
  return nativeTlsProvider("gnutls");
}
