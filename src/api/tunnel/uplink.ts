/** The bytes of a TCP connection on their way into a stream: taken as they are read, and read no faster than they leave. */

import type { Socket } from "node:net";
import type { QuicSession, QuicStream, StreamWriter } from "../quic/index.js";
import { drainableProtocol } from "../quic/writer.js";
import { BUDGET_POLL_MILLIS, READ_BYTES } from "./limits.js";
import type { SendBudget } from "./send-budget.js";

/** For `onread`: what is read is in the send buffer before anybody reads again, so all connections share the memory. */
const shared = new Uint8Array(READ_BYTES);
export class Uplink {
  private socket: Socket | null = null;
  private writer: StreamWriter | null = null;
  private session: QuicSession | null = null;

  constructor(private readonly budget: SendBudget) {}

  /** The option `onread` of a socket that this side makes: no memory is taken for each read. */
  get onread(): { buffer: Uint8Array; callback(bytes: number, buffer: Uint8Array): boolean } {
    return { buffer: shared, callback: (bytes, buffer) => this.take(buffer.subarray(0, bytes)) };
  }

  /** Begins. A socket made without `onread` is listened to. */
  attach(socket: Socket, stream: QuicStream, usesOnread: boolean): void {
    this.socket = socket;
    this.writer = stream.writer;
    this.session = stream.session;
    if (!usesOnread) {
      socket.on("data", (chunk: Buffer) => {
        if (!this.take(chunk)) socket.pause();
      });
    }
    socket.once("end", () => void this.writer?.end().catch(() => {})); // whoever ends the stream tells the socket
    socket.resume();
  }

  /** False: no more now, `resume` follows. */
  private take(chunk: Uint8Array): boolean {
    const { writer } = this;
    if (writer === null) return false;
    // with no room at all it takes nothing: the memory of the chunk is read into again
    if (!writer.writeSync(chunk)) void writer.write(chunk.slice()).catch(() => {}); // then the stream is over
    if (writer.canWrite === true && this.budget.hasRoom(this.session)) return true;
    void this.wait(writer);
    return false;
  }

  private async wait(writer: StreamWriter): Promise<void> {
    await writer[drainableProtocol]();
    while (writer.canWrite !== null && !this.budget.hasRoom(this.session)) {
      await new Promise((resolve) => setTimeout(resolve, BUDGET_POLL_MILLIS));
    }
    if (writer.canWrite !== null && this.socket?.destroyed === false) this.socket.resume();
  }
}
