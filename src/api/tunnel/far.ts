/** The end of a tunnel that dials: each stream of the peer becomes a TCP connection to the one target of the service. */

import { connect } from "node:net";
import type { QuicStream } from "../quic/index.js";
import { DIAL_MILLIS } from "./limits.js";
import { TUNNEL_NOT_SERVED, TUNNEL_UNREACHABLE, tunnelError } from "./protocol.js";
import type { SendBudget } from "./send-budget.js";
import type { Place } from "./service.js";
import { splice } from "./splice.js";
import type { Traffic } from "./traffic.js";
import { Uplink } from "./uplink.js";

/** `target` null: this service has none for TCP. */
export function dial(stream: QuicStream, target: Place | null, budget: SendBudget, traffic: Traffic): void {
  stream.onerror = () => {}; // what becomes of it is told to the TCP connection
  if (stream.direction !== "bidi" || target === null) {
    traffic.refused++;
    stream.destroy(tunnelError(TUNNEL_NOT_SERVED, "no TCP target"));
    return;
  }
  const uplink = new Uplink(budget);
  const { onread } = uplink;
  const socket = connect({ ...target, allowHalfOpen: true, noDelay: true, keepAlive: true, onread });
  traffic.watch(socket);
  const fail = (why: string): void => {
    socket.destroy();
    if (isOver) return;
    isOver = true;
    clearTimeout(timer);
    traffic.refused++;
    stream.destroy(tunnelError(TUNNEL_UNREACHABLE, why));
  };
  let isOver = false;
  const timer = setTimeout(() => fail("the target does not answer"), DIAL_MILLIS);
  const onError = (error: Error): void => fail(error.message);
  const onGone = (): void => {
    if (!isOver) fail("the stream was reset before the target answered");
  };
  stream.onreset = onGone;
  stream.onstopsending = onGone;
  stream.closed.then(onGone, onGone);
  socket.once("error", onError);
  socket.once("connect", () => {
    isOver = true;
    clearTimeout(timer);
    splice(socket, stream, uplink, true, traffic);
    socket.off("error", onError);
  });
}
