/** The one way out: no packet leaves without a row that the aead port sealed (RFC 9001 §5.3, §5.4). */

import { unreachable } from "../base/unreachable.js";
import type { AeadPort, SealBatch } from "../port/aead.js";

/** Protects every row of `batch` in place. A refused row is a bug of ours and throws. */
export function sealBatch(aead: AeadPort, batch: SealBatch): void {
  if (batch.count === 0) return;
  const sealed = aead.seal(batch);
  if (sealed !== batch.count) unreachable(`seal refused row ${sealed} of ${batch.count}`);
}
