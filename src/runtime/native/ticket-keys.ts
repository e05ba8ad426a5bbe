/**
 * The keys of session tickets, all from one secret, so that servers which share it resume each other's sessions, also
 * after a restart. OpenSSL gets a new key each TICKET_KEY_SECONDS and goes on taking tickets of the one before, and of the
 * next one, which a server whose clock is ahead may use already. GnuTLS rotates by itself in the same manner, by the time
 * and from one key (its key of 3.6.4 and later is a base for derived ones).
 */

import { hkdfSync, randomBytes } from "node:crypto";
import { MAX_TICKET_USES, TICKET_KEY_SECONDS } from "../../proto/limits.js";
import type { TicketUse } from "./ticket-use.js";
import type { LibraryName } from "./tls-config.js";

/** Name, encryption key and MAC key of OpenSSL; the base key of GnuTLS. In bytes. */
const KEY_BYTES = { openssl: 80, gnutls: 64 } as const;

/** What the addon takes as keys: the first makes tickets, each opens them. */
export class TicketKeys {
  /** By scope and use; all of `epoch`. */
  private readonly known = new Map<string, Uint8Array>();
  private epoch: number | null = null;

  constructor(
    private readonly library: LibraryName,
    private readonly secret: Uint8Array,
    private readonly nowSeconds: () => number,
    /** Servers that treat their clients in different ways do not take each other's tickets. */
    private readonly policy = "",
  ) {}

  /** The keys of now. A ticket is taken in the scope that it was made in only, and for the use that it was made for. */
  of(scope: number, use: TicketUse | null = null): Uint8Array {
    const epoch = this.library === "openssl" ? Math.floor(this.nowSeconds() / TICKET_KEY_SECONDS) : null;
    if (epoch !== this.epoch) this.known.clear();
    this.epoch = epoch;
    const what = use === null ? `${scope}` : `${scope} ${use.serverName} ${use.alpn}`;
    const known = this.known.get(what);
    if (known !== undefined) return known;
    const made = epoch === null ? this.derive(what, "") : this.derive(what, epoch, epoch - 1, epoch + 1);
    if (this.known.size >= MAX_TICKET_USES) this.known.clear(); // clients choose the names
    this.known.set(what, made);
    return made;
  }

  /** Keys that no other session has: nothing is resumed with them, nor is what they give. */
  once(): Uint8Array {
    return new Uint8Array(randomBytes(KEY_BYTES[this.library]));
  }

  private derive(what: string, ...epochs: (number | "")[]): Uint8Array {
    const { library, secret, policy } = this;
    const keys = epochs.map((epoch) => {
      const label = `netquic ${library} ticket ${policy}${what} ${epoch}`;
      return Buffer.from(hkdfSync("sha256", secret, new Uint8Array(0), label, KEY_BYTES[library]));
    });
    return new Uint8Array(Buffer.concat(keys));
  }
}
