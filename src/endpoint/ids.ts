/** Who makes the connection ids of an endpoint: nobody but chance, unless the endpoint shares its port with others. */

import type { Random } from "../port/random.js";
import type { RxBatch } from "../port/udp.js";

export interface CidSource {
  /** Fills `cid` (LOCAL_CID_BYTES) with an id that no observer can link to another one (RFC 9000 §5.1). */
  fill(cid: Uint8Array): void;
  /** Whether `row`, whose id nobody has, may be for this endpoint: a new connection, or one that was here. Else it is dropped. */
  isOurs(rx: RxBatch, row: number): boolean;
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
