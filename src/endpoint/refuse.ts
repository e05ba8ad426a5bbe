/** A CONNECTION_CLOSE in an Initial packet for a connection that is never made (RFC 9000 §5.2.2, §8.1.3). */

import { KeySet } from "../crypto/keys.js";
import { sealBatch } from "../crypto/seal.js";
import { writeConnectionClose } from "../frame/close.js";
import { PACKET_INITIAL, type PacketHeader } from "../packet/header.js";
import { LEVEL_INITIAL } from "../port/tls.js";
import type { Endpoint } from "./endpoint.js";

const EMPTY = new Uint8Array(0);
const REFUSAL_BYTES = 128;

/**
 * The answer to the client's packet that `header` describes in `buf`; null when that does not open: damage on the way
 * must not end an attempt (RFC 9000 §8.1.2 asks for a packet that is "otherwise valid"). Opens the packet in place.
 */
export function buildRefusal(
  endpoint: Endpoint,
  buf: Uint8Array,
  header: PacketHeader,
  code: number,
): Uint8Array | null {
  const dcid = buf.slice(header.dcidStart, header.dcidStart + header.dcidLength);
  const scid = buf.slice(header.scidStart, header.scidStart + header.scidLength);
  const keys = new KeySet(endpoint.aead, true);
  keys.installInitial(header.version, dcid);
  const answer = opens(endpoint, keys, buf, header)
    ? sealRefusal(endpoint, keys, header.version, dcid, scid, code)
    : null;
  keys.destroy();
  return answer;
}

function opens(endpoint: Endpoint, keys: KeySet, buf: Uint8Array, header: PacketHeader): boolean {
  const { bench } = endpoint;
  bench.begin(buf);
  bench.opener.add(header.start, header.pnOffset, header.end, 0);
  bench.opener.run(keys, LEVEL_INITIAL, -1);
  const isOpen = bench.opener.isOpen(0);
  bench.clear();
  return isOpen;
}

function sealRefusal(
  endpoint: Endpoint,
  keys: KeySet,
  version: number,
  dcid: Uint8Array,
  scid: Uint8Array,
  code: number,
): Uint8Array {
  const { builder } = endpoint.bench;
  const batch = endpoint.closeBatch;
  batch.count = batch.destCount = batch.used = 0;
  builder.beginBatch(batch);
  builder.beginDatagram(REFUSAL_BYTES);
  builder.openLong(PACKET_INITIAL, version, scid, dcid, null, 0, 1);
  builder.pos = writeConnectionClose(builder.buf, builder.pos, builder.limit, false, BigInt(code), 0, EMPTY);
  builder.closePacket(keys.writeKey(LEVEL_INITIAL), keys.writeHp(LEVEL_INITIAL));
  const bytes = builder.endDatagram(0, 0, 0);
  sealBatch(endpoint.aead, builder.seal);
  return batch.buf.slice(0, bytes);
}
