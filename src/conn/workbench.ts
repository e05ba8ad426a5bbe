/** Scratch objects that all connections of an endpoint share: they hold nothing between calls. */

import { Opener } from "../crypto/open.js";
import { FrameDecoder } from "../frame/decode.js";
import { PacketBuilder } from "../packet/builder.js";
import { PacketHeader } from "../packet/header.js";
import type { AeadPort } from "../port/aead.js";
import { TX_BATCH_DATAGRAMS } from "../proto/limits.js";
import { ConnectionFrames } from "./frames.js";
import { StreamRun } from "./stream-run.js";

/** Packets opened in one native call: two GRO reads. */
const OPEN_BATCH_PACKETS = 128;
const NO_BYTES = new Uint8Array(0);

export class Workbench {
  /** Where the packets of the opener's batch lie. */
  rxBuf: Uint8Array = NO_BYTES;
  readonly header = new PacketHeader();
  readonly decoder = new FrameDecoder();
  readonly frames = new ConnectionFrames();
  readonly opener: Opener;
  readonly streamRun: StreamRun;
  /** Up to three packets are coalesced into a datagram. */
  readonly builder: PacketBuilder;

  /** False where a test compares trains with the general way, packet by packet. */
  sendsTrains = true;

  /** `cidBytes`: length of our connection ids, by which short headers are taken apart. */
  constructor(
    aead: AeadPort,
    readonly cidBytes: number,
  ) {
    this.builder = new PacketBuilder(3 * TX_BATCH_DATAGRAMS, cidBytes);
    this.opener = new Opener(aead, OPEN_BATCH_PACKETS);
    this.streamRun = new StreamRun(aead, this.opener, OPEN_BATCH_PACKETS);
  }

  /** Starts an empty batch of packets in `buf`. */
  begin(buf: Uint8Array): void {
    this.rxBuf = buf;
    this.opener.begin(buf);
  }

  clear(): void {
    this.frames.end();
    this.begin(NO_BYTES);
  }
}
