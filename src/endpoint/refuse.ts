/** A CONNECTION_CLOSE in an Initial packet for a connection that is never made (RFC 9000 §5.2.2, §8.1.3). */

import { KeySet } from "../crypto/keys.js";
import { sealBatch } from "../crypto/seal.js";
import { writeConnectionClose } from "../frame/close.js";
import { PACKET_INITIAL } from "../packet/header.js";
import { LEVEL_INITIAL } from "../port/tls.js";
import type { Endpoint } from "./endpoint.js";

const EMPTY = new Uint8Array(0);
const REFUSAL_BYTES = 128;

/** `dcid` and `scid` are those of the client's packet. */
export function buildRefusal(
  endpoint: Endpoint,
  version: number,
  dcid: Uint8Array,
  scid: Uint8Array,
  code: number,
): Uint8Array {
  const { builder } = endpoint.bench;
  const batch = endpoint.closeBatch;
  batch.count = batch.destCount = batch.used = 0;
  const keys = new KeySet(endpoint.aead, true);
  keys.installInitial(version, dcid);
  builder.beginBatch(batch);
  builder.beginDatagram(REFUSAL_BYTES);
  builder.openLong(PACKET_INITIAL, version, scid, dcid, null, 0, 1);
  builder.pos = writeConnectionClose(builder.buf, builder.pos, builder.limit, false, BigInt(code), 0, EMPTY);
  builder.closePacket(keys.writeKey(LEVEL_INITIAL), keys.writeHp(LEVEL_INITIAL));
  const bytes = builder.endDatagram(0, 0, 0);
  sealBatch(endpoint.aead, builder.seal);
  keys.destroy();
  return batch.buf.slice(0, bytes);
}
