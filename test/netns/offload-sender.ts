/** A socket with the offload in a namespace: tries without a flow, then sends 9,000 bytes to each target. */

import { type OffloadErrorCode, OffloadError, openSocket } from "#src/api/offload/index.js";
import { PLAIN, SEND_CID, SEND_SECRETS } from "./offload-batch.js";

export interface SendOrder {
  bind: string;
  targets: { address: string; port: number }[];
  /** Segment size of the socket, 0 = none, and of the message. */
  socketGso: number;
  messageGso?: number;
}

export interface SendReport {
  withoutFlow: OffloadErrorCode | "sent";
  accepted: number[];
}

const send = process.send?.bind(process) as (message: object) => boolean;

process.on("message", async (order: SendOrder) => {
  const socket = await openSocket({ address: order.bind });
  socket.attach("quic-crypto");
  if (order.socketGso > 0) socket.gsoSize = order.socketGso;
  const gso = order.messageGso === undefined ? {} : { gsoSize: order.messageGso };
  const whole = new Uint8Array(Buffer.concat(PLAIN));
  const pieces = [whole.subarray(0, 4000), whole.subarray(4000)];
  const report: SendReport = { withoutFlow: "sent", accepted: [] };
  const options = { ...gso, nextPacketNumber: 0, cidLength: SEND_CID.length };
  try {
    socket.send(pieces, { ...options, ...order.targets[0] });
  } catch (error) {
    if (!(error instanceof OffloadError)) throw error;
    report.withoutFlow = error.code;
  }
  for (const [i, target] of order.targets.entries()) {
    socket.addTxFlow({ ...SEND_SECRETS[i], ...target, cid: SEND_CID });
    report.accepted.push(socket.send(pieces, { ...options, ...target }));
    await socket.writable();
  }
  socket.close();
  send(report);
});
