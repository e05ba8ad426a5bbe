/** A plain UDP socket in a namespace: binds where it is told, then reports a number of datagrams. */

import { createSocket } from "node:dgram";
import { once } from "node:events";

export interface BindOrder {
  address: string;
}

export interface ReceiveOrder {
  datagrams: number;
}

const send = process.send?.bind(process) as (message: object) => boolean;
let waiting: string[] = [];
let wanted = 0;

function report(): void {
  if (wanted === 0 || waiting.length < wanted) return;
  send({ datagrams: waiting });
  waiting = [];
  wanted = 0;
}

process.on("message", async (order: BindOrder | ReceiveOrder) => {
  if ("datagrams" in order) {
    wanted = order.datagrams;
    report();
    return;
  }
  const type = order.address.includes(":") ? "udp6" : "udp4";
  const socket = createSocket({ type, recvBufferSize: 1 << 20 });
  socket.on("message", (data) => {
    waiting.push(data.toString("base64"));
    report();
  });
  socket.bind(0, order.address);
  await once(socket, "listening");
  send({ port: socket.address().port });
});
