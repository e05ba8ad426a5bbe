/** Ports that nothing listens on, for what has to be told one. */

import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";

/** Below those that the kernel gives to whoever asks for none: nobody gets one of these by accident before it is used. */
const FIRST_PORT = 10_000;
const PORTS = 20_000;
const TRIES = 100;

/** A TCP port of the loopback. */
export function freeTcpPort(): Promise<number> {
  return freePort(async (port) => {
    const server = createServer().listen(port, "127.0.0.1");
    await once(server, "listening");
    server.close();
    await once(server, "close");
  });
}

/** A UDP port of a literal address. */
export function freeUdpPort(address = "127.0.0.1"): Promise<number> {
  return freePort(async (port) => {
    const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
    socket.bind(port, address);
    await once(socket, "listening");
    socket.close();
    await once(socket, "close");
  });
}

async function freePort(probe: (port: number) => Promise<void>): Promise<number> {
  for (let tries = 1; ; tries++) {
    const port = FIRST_PORT + Math.floor(Math.random() * PORTS);
    try {
      await probe(port);
      return port;
    } catch (error) {
      if (tries === TRIES || (error as { code?: string }).code !== "EADDRINUSE") throw error;
    }
  }
}
