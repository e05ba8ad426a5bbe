/** A program for process.test.ts: what it does is its first argument. It never calls process.exit. */

import { once } from "node:events";
import { connect, createServer, openSession } from "#src/api/net/index.js";

const [what] = process.argv.slice(2);
const server = createServer({ devCertificate: true, allowHalfOpen: true }, (socket) => {
  if (what === "unref") socket.unref();
  socket.pipe(socket);
});
server.listen(0, "127.0.0.1");
await once(server, "listening");
const target = { port: server.address()?.port, host: "127.0.0.1", rejectUnauthorized: false };

if (what === "whole") {
  const socket = connect(target);
  socket.end("x".repeat(100_000));
  let bytes = 0;
  for await (const chunk of socket) bytes += (chunk as Buffer).length;
  console.log(bytes);
  server.close();
} else if (what === "unref") {
  const socket = connect(target);
  await Promise.all([once(socket, "connect"), once(server, "connection")]);
  server.unref();
  socket.unref();
  console.log("connected");
} else if (what === "session") {
  server.unref();
  const session = await openSession(target);
  console.log("open");
  await session.close();
  console.log("closed");
}
