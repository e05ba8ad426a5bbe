/** The end of a tunnel that accepts TCP connections: each becomes a stream of the QUIC connection that carries the service. */

import { once } from "node:events";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import type { QuicStream } from "../quic/index.js";
import type { Carrier } from "./carrier.js";
import { WAIT_FOR_TUNNEL_MILLIS } from "./limits.js";
import type { SendBudget } from "./send-budget.js";
import type { Place } from "./service.js";
import { splice } from "./splice.js";
import { resetSocket } from "./reset.js";
import type { Traffic } from "./traffic.js";
import { Uplink } from "./uplink.js";

export class TcpNear {
  private constructor(
    private readonly server: Server,
    private readonly carrier: Carrier,
    private readonly budget: SendBudget,
    private readonly traffic: Traffic,
  ) {
    server.on("connection", (socket) => void this.carry(socket));
  }

  /** Rejects with the system's error when it cannot listen there. */
  static async open({ host, port }: Place, carrier: Carrier, budget: SendBudget, traffic: Traffic): Promise<TcpNear> {
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true, keepAlive: true });
    server.listen({ host, port });
    await once(server, "listening");
    return new TcpNear(server, carrier, budget, traffic);
  }

  get address(): AddressInfo {
    return this.server.address() as AddressInfo;
  }

  /** Accepts no more; `traffic` has the connections that are open. */
  close(): void {
    this.server.close();
  }

  private async carry(socket: Socket): Promise<void> {
    const { traffic } = this;
    traffic.watch(socket);
    const onError = (): void => {}; // the close that follows is what counts
    socket.on("error", onError);
    const stream = await this.openStream(socket);
    if (stream === null || socket.destroyed) {
      stream?.destroy();
      traffic.refused++;
      resetSocket(socket);
      return;
    }
    stream.ext.announce(); // the target may be the one that speaks first
    splice(socket, stream, new Uplink(this.budget), false, traffic);
    socket.off("error", onError);
  }

  /** A stream of the tunnel, which may have to be up first; null when that takes too long. */
  private async openStream(socket: Socket): Promise<QuicStream | null> {
    const { carrier } = this;
    const giveUp = new AbortController(); // aborts nothing once there is a stream
    const { signal } = giveUp;
    const stop = (): void => giveUp.abort();
    const timer = setTimeout(stop, WAIT_FOR_TUNNEL_MILLIS);
    socket.once("close", stop);
    try {
      for (;;) {
        const session = await carrier.whenUp(WAIT_FOR_TUNNEL_MILLIS, signal);
        if (session === null) return null;
        const stream = await session.createBidirectionalStream({ signal }).catch(() => null);
        if (stream !== null || signal.aborted) return stream;
        carrier.down(session); // it is closing: nothing was sent, so the next one may be tried
      }
    } finally {
      clearTimeout(timer);
      socket.off("close", stop);
    }
  }
}
