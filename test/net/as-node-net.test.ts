/**
 * The same scenario over node:net and over netquic/net: both ends see the same events in the same order. Where QUIC tells more
 * than TCP does the scenario is not here but in sockets.test.ts (an error of `destroy` reaches the peer).
 */

import assert from "node:assert/strict";
import { once } from "node:events";
import * as tcp from "node:net";
import { describe, test } from "node:test";
import * as quic from "#src/api/net/index.js";
import { content, pause, testCa, testLeaf } from "./support.js";

/** What both libraries have. */
type Socket = tcp.Socket;
type Server = tcp.Server;

interface Library {
  createServer(options: tcp.ServerOpts): Server;
  newSocket(options?: tcp.SocketConstructorOpts): Socket;
  /** A port that nobody listens on any more. */
  refuses: boolean;
}

const LIBRARIES: Record<"tcp" | "quic", Library> = {
  tcp: {
    createServer: (options) => tcp.createServer(options),
    newSocket: (options) => new tcp.Socket(options),
    refuses: true,
  },
  quic: {
    createServer: (options) => {
      const { cert, key } = testLeaf();
      return quic.createServer({ cert, key, ...options } as quic.ServerOptions) as unknown as Server;
    },
    newSocket: (options) =>
      new quic.QuicSocket({ ca: testCa().cert, ...options } as quic.ConnectOptions) as unknown as Socket,
    refuses: false,
  },
};

/** What happened to one end, data as the sum of its bytes where it ended. */
class Log {
  readonly lines: string[] = [];
  private bytes = 0;
  private onClose!: () => void;
  /** After `close`. */
  readonly closed = new Promise<void>((resolve) => {
    this.onClose = resolve;
  });

  watch(socket: Socket, reads = true): Socket {
    for (const name of ["connect", "ready", "timeout", "finish"]) socket.on(name, () => this.add(name));
    socket.on("error", (error: Error & { code?: string }) => this.add(`error ${error.code ?? error.message}`));
    socket.on("close", (failed) => this.add(`close ${failed}`));
    if (!reads) return socket;
    socket.on("data", (chunk: Buffer) => {
      this.bytes += chunk.length;
    });
    socket.on("end", () => this.add(`end after ${this.bytes}`));
    return socket;
  }

  add(line: string): void {
    this.lines.push(line);
    if (line.startsWith("close ")) this.onClose();
  }
}

interface Stage {
  server: Server;
  client: Socket;
  clientLog: Log;
  serverLog: Log;
  /** Begins the connect; resolves to the server's end. */
  begin(): Promise<Socket>;
  connect(onConnect?: () => void): Socket;
}

interface Scenario {
  title: string;
  serverOptions?: tcp.ServerOpts;
  clientOptions?: tcp.SocketConstructorOpts;
  /** The server's end is watched and read; default true. */
  serverReads?: boolean;
  run(stage: Stage): Promise<void>;
}

const SCENARIOS: Scenario[] = [
  {
    title: "the server says something and ends",
    run: async ({ begin, clientLog, serverLog }) => {
      const server = await begin();
      server.end("some words");
      await Promise.all([clientLog.closed, serverLog.closed]);
    },
  },
  {
    title: "the client ends a request, the server answers",
    serverOptions: { allowHalfOpen: true },
    run: async ({ begin, client, clientLog, serverLog }) => {
      const server = await begin();
      client.end("request");
      await once(server, "end");
      server.end("response");
      await Promise.all([clientLog.closed, serverLog.closed]);
    },
  },
  {
    title: "both ends stay half open",
    serverOptions: { allowHalfOpen: true },
    clientOptions: { allowHalfOpen: true },
    run: async ({ begin, client, clientLog, serverLog }) => {
      const server = await begin();
      server.end("first");
      await once(client, "end");
      clientLog.add(client.readyState);
      serverLog.add(server.readyState);
      client.end("second");
      await Promise.all([clientLog.closed, serverLog.closed]);
      clientLog.add(client.readyState);
    },
  },
  {
    title: "destroy by the client",
    run: async ({ begin, client, clientLog, serverLog }) => {
      await begin();
      client.destroy();
      await Promise.all([clientLog.closed, serverLog.closed]);
    },
  },
  {
    title: "destroy by the client with what was written",
    run: async ({ begin, client, clientLog, serverLog }) => {
      await begin();
      client.write("the last words", () => client.destroy());
      await Promise.all([clientLog.closed, serverLog.closed]);
    },
  },
  {
    title: "destroy in the handler of connect",
    run: async ({ connect, client, clientLog, serverLog }) => {
      connect(() => client.destroy());
      await Promise.all([clientLog.closed, serverLog.closed]);
    },
  },
  {
    title: "destroy before the connect is done",
    run: async ({ connect, client, clientLog, serverLog }) => {
      connect();
      client.destroy();
      await clientLog.closed;
      clientLog.add(`${client.connecting} ${client.readyState}`);
      await pause(30);
      serverLog.lines.length = 0;
    },
  },
  {
    title: "destroySoon hands over what was written",
    run: async ({ begin, client, clientLog, serverLog }) => {
      await begin();
      client.write(content(100_000));
      client.destroySoon();
      await Promise.all([clientLog.closed, serverLog.closed]);
    },
  },
  {
    title: "resetAndDestroy",
    run: async ({ begin, client, clientLog, serverLog }) => {
      await begin();
      client.resetAndDestroy();
      await Promise.all([clientLog.closed, serverLog.closed]);
    },
  },
  {
    title: "resetAndDestroy of a socket that never connected",
    run: async ({ client, clientLog }) => {
      client.resetAndDestroy();
      await clientLog.closed;
    },
  },
  {
    title: "a write after end",
    run: async ({ begin, client, clientLog, serverLog }) => {
      await begin();
      client.end("bye");
      client.write("more", (error) => clientLog.add(`callback ${(error as { code?: string } | null)?.code}`));
      await Promise.all([clientLog.closed, serverLog.closed]);
    },
  },
  {
    title: "a write after destroy",
    run: async ({ begin, client, clientLog, serverLog }) => {
      await begin();
      client.destroy();
      client.write("more", (error) => clientLog.add(`callback ${(error as { code?: string } | null)?.code}`));
      await Promise.all([clientLog.closed, serverLog.closed]);
    },
  },
  {
    title: "writes, ends and their callbacks before the connect is done",
    run: async ({ begin, client, clientLog, serverLog }) => {
      const accepted = begin();
      client.write("one", () => clientLog.add("one written"));
      client.write("two");
      client.end("three", () => clientLog.add("ended"));
      clientLog.add(`${client.connecting} ${client.pending} ${client.readyState} ${client.bytesWritten}`);
      await accepted;
      await Promise.all([clientLog.closed, serverLog.closed]);
      clientLog.add(`${client.bytesWritten} ${client.bytesRead} ${client.pending} ${client.readyState}`);
    },
  },
  {
    title: "cork and uncork",
    run: async ({ begin, client, serverLog, clientLog }) => {
      const server = await begin();
      client.cork();
      for (let i = 0; i < 100; i++) client.write("x".repeat(i));
      client.uncork();
      client.end();
      await Promise.all([clientLog.closed, serverLog.closed]);
      serverLog.add(`${server.bytesRead}`);
    },
  },
  {
    title: "a reader that pauses first",
    serverReads: false,
    run: async ({ begin, client, serverLog, clientLog }) => {
      const server = await begin();
      server.pause();
      client.end(content(200_000));
      await pause(30);
      serverLog.add(`destroyed ${server.destroyed}`);
      server.on("end", () => serverLog.add("end"));
      server.resume();
      await Promise.all([clientLog.closed, serverLog.closed]);
      serverLog.add(`${server.bytesRead}`);
    },
  },
  {
    title: "timeout, and then destroy",
    run: async ({ begin, client, clientLog, serverLog }) => {
      await begin();
      client.setTimeout(40, () => {
        clientLog.add(`callback ${client.timeout} ${client.destroyed}`);
        client.destroy();
      });
      await Promise.all([clientLog.closed, serverLog.closed]);
    },
  },
  {
    title: "a timeout that was taken back",
    run: async ({ begin, client, clientLog, serverLog }) => {
      const server = await begin();
      client.setTimeout(20);
      client.setTimeout(0);
      await pause(60);
      server.end();
      await Promise.all([clientLog.closed, serverLog.closed]);
    },
  },
  {
    title: "what a user throws into destroy is the error of the socket",
    run: async ({ begin, client, clientLog, serverLog }) => {
      await begin();
      client.destroy(Object.assign(new Error("own"), { code: "EOWN" }));
      await Promise.all([clientLog.closed, serverLog.closed]);
      serverLog.lines.length = 0; // over TCP the peer sees an end, here it sees the reset
    },
  },
  {
    title: "end without anything written",
    run: async ({ begin, client, clientLog, serverLog }) => {
      await begin();
      client.end();
      await Promise.all([clientLog.closed, serverLog.closed]);
    },
  },
  {
    title: "a server that closes waits for its socket",
    run: async ({ begin, client, server: listening, clientLog, serverLog }) => {
      await begin();
      const order: string[] = [];
      listening.on("close", () => order.push("server close"));
      listening.close((error) => order.push(`callback ${error}`));
      order.push(`${listening.listening}`);
      await pause(20);
      order.push("the client ends");
      client.end("done");
      await Promise.all([clientLog.closed, serverLog.closed, once(listening, "close")]);
      serverLog.lines.push(...order);
    },
  },
  {
    title: "a server that is closed twice",
    run: async ({ server, serverLog }) => {
      server.close();
      await once(server, "close");
      server.close((error) => serverLog.add(`callback ${(error as { code?: string } | undefined)?.code}`));
      await pause(5);
      serverLog.add(`${server.address()}`);
    },
  },
  {
    title: "a server that listens already",
    run: async ({ server, serverLog }) => {
      assert.throws(() => server.listen(0), { code: "ERR_SERVER_ALREADY_LISTEN" });
      serverLog.add("thrown");
    },
  },
  {
    title: "ports and times that are none",
    run: async ({ client, clientLog }) => {
      for (const port of [65_536, -1, 1.5, "x"]) {
        try {
          client.connect({ port } as tcp.TcpSocketConnectOpts);
        } catch (error) {
          clientLog.add(`${(error as { code?: string }).code} ${(error as Error).name}`);
        }
      }
      assert.throws(() => client.setTimeout("1" as never), { code: "ERR_INVALID_ARG_TYPE" });
    },
  },
];

async function play(library: Library, scenario: Scenario): Promise<{ client: string[]; server: string[] }> {
  const clientLog = new Log();
  const serverLog = new Log();
  const server = library.createServer(scenario.serverOptions ?? {});
  const client = clientLog.watch(library.newSocket(scenario.clientOptions));
  const accepted = new Promise<Socket>((resolve) => {
    server.on("connection", (socket: Socket) => resolve(serverLog.watch(socket, scenario.serverReads ?? true)));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as tcp.AddressInfo;
  const connect = (onConnect?: () => void): Socket => client.connect(port, "127.0.0.1", onConnect);
  const begin = async (): Promise<Socket> => {
    connect();
    const [socket] = await Promise.all([accepted, once(client, "ready")]);
    return socket;
  };
  await scenario.run({ server, client, clientLog, serverLog, begin, connect });
  server.close();
  client.destroy();
  return { client: [...clientLog.lines], server: [...serverLog.lines] };
}

describe("as over node:net", () => {
  for (const scenario of SCENARIOS) {
    test(scenario.title, { timeout: 60_000 }, async () => {
      const expected = await play(LIBRARIES.tcp, scenario);
      assert.deepEqual(await play(LIBRARIES.quic, scenario), expected);
    });
  }
});
