/** Who makes the connection ids of an endpoint: nobody but chance, unless the endpoint shares its port with others. */

import type { Random } from "../port/random.js";
import type { RxBatch } from "../port/udp.js";
import { LOCAL_CID_BYTES, MAX_CID_BYTES, MIN_LOCAL_CID_BYTES } from "../proto/limits.js";

export interface CidSource {
  /** Fills `cid`, of the endpoint's length (that of a Retry 8 at least), with an id that no observer can link to another one (RFC 9000 §5.1). */
  fill(cid: Uint8Array): void;
  /** Whether `row`, whose id nobody has, may be for this endpoint: a new connection, or one that was here. Else it is dropped. */
  isOurs(rx: RxBatch, row: number): boolean;
}

/** The length of all ids of an endpoint; short headers are taken apart by it. @throws RangeError outside of 4 to 20 */
export function localCidBytes(wanted = LOCAL_CID_BYTES): number {
  const isPossible = Number.isInteger(wanted) && wanted >= MIN_LOCAL_CID_BYTES && wanted <= MAX_CID_BYTES;
  if (!isPossible) throw new RangeError(`connection ids of ${wanted} bytes: 4 to 20 are possible`);
  return wanted;
}

/** Ids of random bytes; everything that arrives is for this endpoint. */
export function randomCids(random: Random): CidSource {
  return {
    fill(cid) {
      random.fill(cid, 0, cid.length);
    },
    isOurs: () => true,
  };
}
