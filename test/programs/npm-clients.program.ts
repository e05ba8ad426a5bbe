/**
 * Clients from npm over streams of netquic/net, none of them changed: ssh2 with its own server, ioredis and pg with the real
 * servers behind a gateway that knows nothing of their protocols.
 */

import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { type EventEmitter, once } from "node:events";
import { chownSync, existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { connect as connectTcp } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { describe, test } from "node:test";
import { type ConnectOptions, connect, createServer, openSession, QuicSocket } from "#src/api/net/index.js";
import { sha256, testCa, testLeaf } from "../api/support.js";
import { installNpm } from "../interop/peers.js";
import { type Machine, program, untilAccepting, withMachine } from "./machine.js";
import { freeTcpPort } from "../support/ports.js";

const SSH2 = ["ssh2", "1.17.0"] as const;
const IOREDIS = ["ioredis", "5.9.2"] as const;
const PG = ["pg", "8.23.1"] as const;

// What is used here of the packages, which bring no types along.
interface SshClient extends EventEmitter {
  connect(options: { sock: Duplex; username: string; password: string }): void;
  exec(command: string, done: Done<Duplex>): void;
  end(): void;
}
interface Ssh2 {
  Client: new () => SshClient;
  Server: new (
    options: { hostKeys: unknown[] },
    onClient: (peer: EventEmitter) => void,
  ) => { injectSocket(socket: Duplex): void };
}
interface Redis extends EventEmitter {
  stream: Duplex;
  set(key: string, value: string | Buffer): Promise<string>;
  get(key: string): Promise<string>;
  getBuffer(key: string): Promise<Buffer>;
  pipeline(): { incr(key: string): void; exec(): Promise<unknown[]> };
  subscribe(channel: string): Promise<number>;
  publish(channel: string, message: string): Promise<number>;
  quit(): Promise<string>;
  disconnect(): void;
}
type IoRedis = new (options: object) => Redis;
interface Rows {
  rows: Record<string, unknown>[];
}
interface PgClient {
  connect(): Promise<void>;
  query(text: string, values?: unknown[]): Promise<Rows>;
  end(): Promise<void>;
}
interface Pg {
  Client: new (options: object) => PgClient;
  Pool: new (options: object) => PgClient;
}

/** The module of an npm package, installed in a folder of its own. */
function npm<T>(name: string, version: string): T {
  const { folder, error } = installNpm(name, version);
  assert.equal(error, "");
  return createRequire(join(folder, "package.json"))(name) as T;
}

/** A QUIC server whose sockets go to `onSocket`, and how clients get there. */
async function serve(alpn: string, onSocket: (socket: QuicSocket) => void): Promise<Gateway> {
  const { cert, key } = testLeaf();
  const server = createServer({ cert, key, alpn, allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {}); // clients that are ended at once reset their streams
    onSocket(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port = 0 } = server.address() ?? {};
  return {
    port,
    options: { port, host: "127.0.0.1", ca: testCa().cert, alpn },
    close: async () => {
      for (const session of server.sessions) session.destroy();
      await server[Symbol.asyncDispose]();
    },
  };
}

interface Gateway {
  port: number;
  options: ConnectOptions;
  close(): Promise<void>;
}

/** A QUIC server in front of a TCP one. */
function gatewayTo(tcpPort: number, alpn: string): Promise<Gateway> {
  return serve(alpn, (socket) => {
    const tcp = connectTcp({ port: tcpPort, host: "127.0.0.1", allowHalfOpen: true });
    tcp.on("error", () => socket.destroy());
    socket.on("error", () => tcp.destroy());
    socket.pipe(tcp).pipe(socket);
  });
}

type Done<T> = (error: Error | undefined | null, value: T) => void;

/** What a callback of Node's form is called with. */
function called<T>(start: (done: Done<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, value) => (error == null ? resolve(value) : reject(error)));
  });
}

/** All that a channel of ssh2 says until it closes, and the exit code that comes with that. */
async function allOf(channel: Duplex): Promise<{ bytes: Buffer; code: number | undefined }> {
  const chunks: Buffer[] = [];
  channel.on("data", (chunk: Buffer) => chunks.push(chunk));
  const [code] = (await once(channel, "close")) as [number | undefined];
  return { bytes: Buffer.concat(chunks), code };
}

describe("ssh2", () => {
  test("a command, its exit code, and 20 MB there and back", async () => {
    const { Client, Server } = npm<Ssh2>(...SSH2);
    const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const hostKeys = [privateKey.export({ type: "pkcs1", format: "pem" })];
    const sshServer = new Server({ hostKeys }, (peer: EventEmitter) => {
      peer.on("error", () => {});
      peer.on("authentication", (context: { accept(): void }) => context.accept());
      peer.on("session", (accept: () => EventEmitter) => accept().on("exec", onExec));
    });
    const gateway = await serve("ssh", (socket) => sshServer.injectSocket(socket));
    try {
      const client = new Client();
      client.connect({ sock: connect(gateway.options), username: "somebody", password: "something" });
      await once(client, "ready");

      const greeting = await called<Duplex>((done) => client.exec("greet", done));
      const { bytes, code } = await allOf(greeting);
      assert.equal(bytes.toString(), "ran greet");
      assert.equal(code, 3);

      const sent = randomBytes(20_000_000);
      const echo = await called<Duplex>((done) => client.exec("cat", done));
      const back = allOf(echo);
      echo.end(sent);
      assert.equal(sha256((await back).bytes), sha256(sent));

      client.end();
      await once(client, "close");
    } finally {
      await gateway.close();
    }
  });
});

function onExec(
  accept: () => Duplex & { exit(code: number): void },
  _reject: unknown,
  info: { command: string },
): void {
  const channel = accept();
  if (info.command === "cat") {
    channel.pipe(channel);
    return;
  }
  channel.write(`ran ${info.command}`);
  channel.exit(3);
  channel.end();
}

describe("ioredis", () => {
  test(
    "commands, pipelines, large values, subscriptions, and a connection that is cut comes again",
    withMachine(async (machine) => {
      const Redis = npm<IoRedis>(...IOREDIS);
      const port = await freeTcpPort();
      const args = ["--port", `${port}`, "--bind", "127.0.0.1", "--dir", machine.dir, "--save", ""];
      await untilAccepting(machine.start(program("redis-server", "redis-server"), args), port);
      const gateway = await gatewayTo(port, "redis");

      class Connector {
        connecting = false;
        private stream: QuicSocket | null = null;
        check(): boolean {
          return true;
        }
        disconnect(): void {
          this.connecting = false;
          this.stream?.end();
        }
        async connect(): Promise<QuicSocket> {
          this.connecting = true;
          this.stream = connect(gateway.options);
          return this.stream;
        }
      }
      const options = { Connector, connectTimeout: 10_000, commandTimeout: 20_000, keepAlive: 1000, noDelay: true };
      const redis = new Redis(options);
      const subscriber = new Redis(options);
      for (const each of [redis, subscriber]) each.on("error", () => {}); // the cut below
      try {
        await redis.set("name", "value");
        assert.equal(await redis.get("name"), "value");

        const pipeline = redis.pipeline();
        for (let i = 0; i < 10_000; i++) pipeline.incr("counter");
        assert.deepEqual((await pipeline.exec()).at(-1), [null, 10_000]);

        const large = randomBytes(5_000_000);
        await redis.set("large", large);
        assert.equal(sha256(await redis.getBuffer("large")), sha256(large));

        await subscriber.subscribe("news");
        const message = once(subscriber, "message");
        await redis.publish("news", "some");
        assert.deepEqual(await message, ["news", "some"]);

        redis.stream.destroy(new Error("cut"));
        assert.equal(await redis.get("name"), "value");
        await redis.quit();
      } finally {
        redis.disconnect();
        subscriber.disconnect();
        await gateway.close();
      }
    }),
  );
});

describe("pg", () => {
  test(
    "queries, parameters of three megabytes, and a pool whose clients share one session",
    withMachine(async (machine) => {
      const { Client, Pool } = npm<Pg>(...PG);
      const port = await startPostgres(machine);
      const gateway = await gatewayTo(port, "postgresql");
      const target = { host: "127.0.0.1", port: gateway.port, user: "postgres", database: "postgres", keepAlive: true };
      try {
        const client = new Client({ ...target, stream: () => new QuicSocket(gateway.options) });
        await client.connect();
        assert.deepEqual((await client.query("select 20 + 22 as sum")).rows, [{ sum: 42 }]);
        const large = randomBytes(3_000_000);
        await client.query("create temp table stored (value bytea)");
        await client.query("insert into stored values ($1)", [large]);
        const [stored] = (await client.query("select value from stored")).rows;
        assert.equal(sha256(stored?.["value"] as Buffer), sha256(large));
        await assert.rejects(client.query("select nothing from nowhere"), { code: "42P01" });
        await client.end();

        const session = await openSession(gateway.options);
        const pool = new Pool({ ...target, max: 10, stream: () => new QuicSocket({ session }) });
        const results = await Promise.all(
          Array.from({ length: 100 }, (_, at) => pool.query("select $1::int as value, pg_sleep(0.005)", [at])),
        );
        assert.deepEqual(
          results.map(({ rows }) => rows[0]?.["value"]),
          Array.from({ length: 100 }, (_, at) => at),
        );
        await pool.end();
        await session.close();
      } finally {
        await gateway.close();
      }
    }),
  );
});

/** A cluster of its own; it refuses to run as root, so that it runs as the user of its package there. */
async function startPostgres(machine: Machine): Promise<number> {
  const root = "/usr/lib/postgresql";
  if (!existsSync(root)) program("pg_lsclusters", "postgresql"); // fails, or installs it
  const version = readdirSync(root)
    .sort((a, b) => Number(a) - Number(b))
    .at(-1);
  const bin = (name: string): string => join(root, version ?? "", "bin", name);
  const data = machine.folder("data");
  const isRoot = process.getuid?.() === 0;
  if (isRoot) {
    const owner = (await machine.ok("/usr/bin/id", ["-u", "postgres"])).toString().trim();
    for (const path of [machine.dir, data]) chownSync(path, Number(owner), -1);
  }
  const as = (path: string, args: string[]): [string, string[]] =>
    isRoot ? ["/usr/sbin/runuser", ["-u", "postgres", "--", path, ...args]] : [path, args];
  await machine.ok(...as(bin("initdb"), ["-D", data, "-U", "postgres", "-A", "trust", "--no-sync"]));
  const port = await freeTcpPort();
  const listen = ["-p", `${port}`, "-k", machine.dir, "-h", "127.0.0.1"];
  await untilAccepting(machine.start(...as(bin("postgres"), ["-D", data, "-F", ...listen])), port);
  return port;
}
