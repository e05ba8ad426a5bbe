/**
 * Packet keys by what they are, so that nonces stay single: however many flows are given the same key and IV (a migrating
 * connection has two for a while), they share one slot of the aead port and one count of the packet numbers used.
 */

import { createHash } from "node:crypto";
import type { AeadId, AeadPort } from "../../port/aead.js";

export interface PacketKey {
  readonly slot: number;
  readonly digest: string;
  /** The smallest packet number that may still be sealed. */
  nextPn: number;
  flows: number;
}

export class KeyRing {
  private readonly aead: AeadPort;
  private readonly keys = new Map<string, PacketKey>();

  constructor(aead: AeadPort) {
    this.aead = aead;
  }

  take(aeadId: AeadId, key: Uint8Array, iv: Uint8Array): PacketKey {
    const digest = digestOf(aeadId, key, iv);
    let found = this.keys.get(digest);
    if (found === undefined) {
      found = { slot: this.aead.newKey(aeadId, key, iv), digest, nextPn: 0, flows: 0 };
      this.keys.set(digest, found);
    }
    found.flows++;
    return found;
  }

  /** Gives back what `take` returned; the last flow's key is forgotten. */
  release(key: PacketKey): void {
    if (--key.flows > 0) return;
    this.keys.delete(key.digest);
    this.aead.freeKey(key.slot);
  }
}

/** Names a secret without keeping it. */
export function digestOf(aeadId: AeadId, ...secrets: Uint8Array[]): string {
  const hash = createHash("sha256").update(Uint8Array.of(aeadId));
  for (const secret of secrets) hash.update(secret);
  return hash.digest("base64");
}
