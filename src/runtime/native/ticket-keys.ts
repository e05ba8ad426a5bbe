/**
 * The keys of session tickets, all from one secret, so that servers which share it resume each other's sessions, also
 * after a restart. OpenSSL gets a new key each TICKET_KEY_SECONDS and goes on taking tickets of the one before, and of the
 * next one, which a server whose clock is ahead may use already. GnuTLS rotates by itself in the same manner, by the time
 * and from one key (its key of 3.6.4 and later is a base for derived ones).
 */

import { hkdfSync } from "node:crypto";
import { TICKET_KEY_SECONDS } from "../../proto/limits.js";
import type { LibraryName } from "./tls-config.js";

/** Name, encryption key and MAC key of OpenSSL; the base key of GnuTLS. In bytes. */
const KEY_BYTES = { openssl: 80, gnutls: 64 } as const;

/** The number of the key that is in use; null when the library does the rotation. */
export function ticketEpoch(library: LibraryName, nowSeconds: number): number | null {
  return library === "openssl" ? Math.floor(nowSeconds / TICKET_KEY_SECONDS) : null;
}

/** What the addon takes as keys in that epoch: the first makes tickets, each opens them. */
export function ticketKeys(library: LibraryName, secret: Uint8Array, epoch: number | null): Uint8Array {
  if (epoch === null) return derive(library, secret, `netquic ${library} ticket`);
  const keys = [epoch, epoch - 1, epoch + 1].map((at) => derive(library, secret, `netquic ${library} ticket ${at}`));
  return new Uint8Array(Buffer.concat(keys));
}

function derive(library: LibraryName, secret: Uint8Array, label: string): Uint8Array {
  return new Uint8Array(hkdfSync("sha256", secret, new Uint8Array(0), label, KEY_BYTES[library]));
}
