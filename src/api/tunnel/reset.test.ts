import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { describe, test } from "node:test";
import { resetSocket } from "./reset.js";

/** Both ends of a connection; the server's end is the one to reset. */
async function pair(use: (near: Socket, far: Socket) => Promise<void>): Promise<void> {
  const server = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const far = connect({ port: (server.address() as { port: number }).port, host: "127.0.0.1", allowHalfOpen: true });
  const [near] = (await once(server, "connection")) as [Socket];
  near.on("error", () => {});
  try {
    await use(near, far);
  } finally {
    near.destroy();
    far.destroy();
    server.close();
  }
}

describe("a TCP reset", () => {
  test("comes at once, whatever waits for a reader that does not read", () =>
    pair(async (near, far) => {
      far.pause();
      near.write(Buffer.alloc(32 << 20));
      const closed = once(near, "close");
      const reset = once(far, "error") as Promise<[{ code: string }]>;
      resetSocket(near);
      resetSocket(near);
      await closed;
      far.resume();
      assert.equal((await reset)[0].code, "ECONNRESET");
    }));

  test("after a FIN what was written before it still arrives whole", () =>
    pair(async (near, far) => {
      const size = 16 << 20;
      const closed = once(near, "close");
      near.end(Buffer.alloc(size));
      resetSocket(near);
      let received = 0;
      far.on("data", (chunk: Buffer) => (received += chunk.length));
      await once(far, "end");
      assert.equal(received, size);
      await closed;
    }));
});
