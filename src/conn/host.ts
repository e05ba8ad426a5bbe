/** What the endpoint lends to its connections; the interface keeps `conn` from knowing `endpoint`. */

import type { Fifo } from "../base/fifo.js";
import type { DropReason } from "../observe/drop-reason.js";
import type { AeadPort } from "../port/aead.js";
import type { MemoryPressure } from "../port/memory.js";
import type { Random } from "../port/random.js";
import type { TxBatch } from "../port/udp.js";
import type { Connection } from "./connection.js";
import type { Workbench } from "./workbench.js";

export interface ConnectionHost {
  readonly aead: AeadPort;
  readonly random: Random;
  readonly bench: Workbench;
  readonly pressure: Readonly<MemoryPressure>;
  /** A batch of one datagram in which closes are built. */
  readonly closeBatch: TxBatch;
  /** A fresh connection id. */
  newCid(): Uint8Array;
  /** The stateless reset token of one of our ids (RFC 9000 §10.3.2). */
  resetToken(cid: Uint8Array): Uint8Array;
  /** A NEW_TOKEN token for this version and address (RFC 9000 §8.1.3), or null when none shall be sent. */
  newToken(version: number, addr: Int32Array): Uint8Array | null;
  /** Packets to this id belong to the connection from now on, or no longer. */
  route(cid: Uint8Array, conn: Connection): void;
  unroute(cid: Uint8Array, conn: Connection): void;
  /** A datagram that ends in this token resets the connection (RFC 9000 §10.3). */
  routeReset(token: Uint8Array, conn: Connection): void;
  unrouteReset(token: Uint8Array, conn: Connection): void;
  /** A path of some connection is gone, and perhaps its socket's last use. */
  noteLeftPath(): void;
  /** The connection has something to send or to tell outside of a door call. */
  schedule(conn: Connection): void;
  /** TLS has answered outside of a door call: the results are taken before anything that they allow is sent. */
  readonly lateTls: Fifo<Connection>;
  countDrop(reason: DropReason): void;
}
