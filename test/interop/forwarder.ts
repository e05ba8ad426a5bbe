/**
 * A UDP forwarder between client and server that watches for Retry: the proof of a `retry` cell is on the wire, whatever the
 * peer's API says. It counts Retry packets of the server and Initial packets of the client that carry a token
 * (RFC 9000 §17.2.2, §17.2.5).
 */

import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import type { AddressInfo } from "node:net";

const VERSION_1 = 1;
const TYPE_INITIAL = 0;
const TYPE_RETRY = 3;

export interface Forwarder {
  /** Where the client connects to. */
  port: number;
  counts: { retries: number; initialsWithToken: number };
  close(): void;
}

export async function openForwarder(host: string, serverPort: number): Promise<Forwarder> {
  const counts = { retries: 0, initialsWithToken: 0 };
  const type = host.includes(":") ? "udp6" : "udp4";
  const front = createSocket(type);
  const backs = new Map<number, Socket>(); // by the client's port
  front.on("message", (datagram, { port, address }) => {
    if (longType(datagram) === TYPE_INITIAL && hasToken(datagram)) counts.initialsWithToken++;
    let back = backs.get(port);
    if (back === undefined) {
      back = createSocket(type);
      back.on("message", (answer) => {
        if (longType(answer) === TYPE_RETRY) counts.retries++;
        front.send(answer, port, address, ignore);
      });
      back.on("error", ignore);
      backs.set(port, back);
    }
    back.send(datagram, serverPort, host, ignore);
  });
  front.bind(0, host);
  await once(front, "listening");
  return {
    port: (front.address() as AddressInfo).port,
    counts,
    close() {
      front.close();
      for (const back of backs.values()) back.close();
    },
  };
}

/** A datagram that could not be sent is a lost one. */
function ignore(): void {}

/** Long packet type of the first packet, -1 for anything but a long header of version 1. */
export function longType(datagram: Uint8Array): number {
  if (datagram.length < 7 || (datagram[0]! & 0x80) === 0) return -1;
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.byteLength);
  return view.getUint32(1) === VERSION_1 ? (datagram[0]! & 0x30) >> 4 : -1;
}

/** Whether the token of an Initial packet has a length other than 0. */
export function hasToken(initial: Uint8Array): boolean {
  const dcidEnd = 6 + initial[5]!;
  const scidEnd = dcidEnd + 1 + (initial[dcidEnd] ?? 0);
  return (initial[scidEnd] ?? 0) !== 0;
}
