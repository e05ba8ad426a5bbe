/** What one program can make the agent hold, each bound at its limit and one beyond. */

import assert from "node:assert/strict";
import { createServer, type Socket } from "node:net";
import { afterEach, beforeEach, describe, mock, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  AGENT_PROTOCOL_VERSION,
  decode,
  encode,
  type FromAgent,
  fromAgent,
  type ToAgent,
  toAgent,
} from "#src/agent/protocol.js";
import { agentTls } from "#src/agent/provider.js";
import { LEVEL_APP, type TlsResult } from "#src/port/tls.js";
import { AGENT_HANDSHAKE_MILLIS as LIMIT_OF_CODE } from "#src/proto/limits.js";
import { connectFramed, type FramedSocket } from "#src/runtime/framed-socket.js";
import { Pair } from "#src/runtime/native/tls-pair.contract.js";
import { devCertificate } from "#src/runtime/native/x509.js";
import { until } from "../cli/run-quic.js";
import { type TestAgent, testAgent } from "./support.js";

/** As docs/agent.md has them, not as the code has them. */
const MAX_AGENT_FRAME_BYTES = 1_048_576;
const AGENT_BUSY_BYTES = 2_097_152;
const MAX_AGENT_QUEUE_BYTES = 67_108_864;
const MAX_AGENT_PROGRAMS = 256;
const MAX_AGENT_CONTEXTS = 1024;
const MAX_AGENT_CONTEXT_BYTES = 16_777_216;
const MAX_AGENT_SESSIONS = 8192;
const MAX_AGENT_SESSION_BYTES = 262_144;
const AGENT_HANDSHAKE_MILLIS = 30_000;
const AGENT_SESSION_REST_MILLIS = 60_000;

const identity = devCertificate({ hosts: ["localhost"] });
const choice = { auth: "any", pskIdentity: "", timeoutMillis: 0 } as const;
const CONFIG = { kind: "client" as const, alpn: ["x"], serverName: "localhost", verify: "strict" as const };
const PARAMS = Uint8Array.of(1, 2);
const PARTY = { transportParams: PARAMS };

/** A program that says what it likes. */
class RawProgram {
  readonly results = new Map<number, TlsResult[]>();
  welcome: Extract<FromAgent, { kind: "welcome" }> | null = null;
  /** Null: connected; "" = ended in good order. */
  ended: string | null = null;
  readonly socket: FramedSocket;

  constructor(path: string, version = AGENT_PROTOCOL_VERSION) {
    this.socket = connectFramed(
      path,
      { maxFrameBytes: 2 ** 31, maxQueuedBytes: 2 ** 31 },
      {
        onFrame: (frame) => this.hear(decode(fromAgent, frame)),
        onEnd: (error: NodeJS.ErrnoException | null) => {
          this.ended = error?.code ?? "";
        },
      },
    );
    this.say({ kind: "hello", version });
  }

  say(...messages: ToAgent[]): void {
    for (const message of messages) this.socket.send(encode(toAgent, message));
  }

  context(id: number, ca: string[] = []): void {
    this.say({ kind: "context", id, choice, config: { ...CONFIG, ca } });
  }

  session(id: number, context: number): void {
    this.say({ kind: "session", id, context, options: { transportParams: PARAMS } });
  }

  /** The alert of a session. */
  alert(id: number): Extract<TlsResult, { kind: "alert" }> | undefined {
    return this.results.get(id)?.find((result) => result.kind === "alert");
  }

  /** Until all that was said has been heard. */
  async settle(): Promise<void> {
    this.session(2 ** 32 - 1, 1);
    await until(() => this.results.has(2 ** 32 - 1) || this.ended !== null);
    this.say({ kind: "close", id: 2 ** 32 - 1 });
    this.results.delete(2 ** 32 - 1);
  }

  private hear(message: FromAgent | null): void {
    assert.notEqual(message, null);
    if (message?.kind === "welcome") this.welcome = message;
    else if (message?.kind === "results") {
      this.results.set(message.id, [...(this.results.get(message.id) ?? []), ...message.results]);
    }
  }
}

describe("what one program can make the agent hold", () => {
  let agent: TestAgent;
  let program: RawProgram;

  beforeEach(async () => {
    agent = await testAgent();
    program = new RawProgram(agent.path);
  });
  afterEach(() => {
    program.socket.destroy();
    agent.stop();
  });

  const cutOff = async (why: RegExp) => {
    await until(() => program.ended !== null);
    assert.match(agent.lines.at(-1) ?? "", why);
    await until(() => agent.agent.counters.programs === 0);
    const { contexts, sessions } = agent.agent.counters;
    assert.deepEqual({ contexts, sessions }, { contexts: 0, sessions: 0 });
  };

  test("hello is answered once; another version is told ours and sent away", async () => {
    await until(() => program.welcome);
    assert.equal(program.welcome?.version, AGENT_PROTOCOL_VERSION);
    program.say({ kind: "hello", version: AGENT_PROTOCOL_VERSION });
    await cutOff(/two hellos/);
    program = new RawProgram(agent.path, AGENT_PROTOCOL_VERSION + 1);
    await cutOff(/version 2 of the protocol/);
    assert.equal(program.welcome?.version, AGENT_PROTOCOL_VERSION);
  });

  test("what makes no sense costs the connection, and nobody else's", async () => {
    const other = new RawProgram(agent.path);
    other.context(1);
    for (const [say, why] of [
      [() => program.socket.send(Uint8Array.of(99)), /makes no sense/],
      [() => program.socket.send(new Uint8Array(0)), /makes no sense/],
      [() => program.session(1, 1), /without a configuration/],
      [() => [1, 1].map((id) => program.context(id)), /a configuration's number twice/],
      [() => [program.context(1), program.session(5, 1), program.session(5, 1)], /a session's number twice/],
    ] as const) {
      say();
      await until(() => program.ended !== null);
      assert.match(agent.lines.at(-1) ?? "", why);
      program = new RawProgram(agent.path);
    }
    await other.settle();
    assert.equal(other.ended, null);
    other.socket.destroy();
  });

  test("what the TLS library will not take costs the session, not the agent", async () => {
    const { cert, key } = identity;
    const config = { kind: "server" as const, alpn: ["x"], identities: { "*": { cert, key } }, earlyData: true };
    program.say({ kind: "context", id: 1, choice, config });
    program.session(5, 1);
    program.session(6, 1);
    program.say({ kind: "allow-early-data", id: 5, alpn: "" });
    await until(() => program.alert(5) !== undefined);
    assert.match(program.alert(5)?.message ?? "", /a protocol has a name/);
    program.context(2);
    program.session(7, 2);
    await until(() => program.results.has(7));
    assert.equal(agent.agent.counters.sessions, 2); // 6 and 7
    assert.equal(program.ended, null);
  });

  test("an alert that quotes much is cut, and reaches the program", async () => {
    const config = { ...CONFIG, ciphers: "\u20ac".repeat(1365) }; // 4,095 bytes, the most that a message takes
    program.say({ kind: "context", id: 1, choice, config });
    program.session(5, 1);
    await until(() => program.alert(5));
    assert.match(program.alert(5)?.message ?? "", /ciphers: \u20ac{100}/);
    assert.equal(program.ended, null);
  });

  test("the first message is hello", async () => {
    const silent = connectFramed(
      agent.path,
      { maxFrameBytes: 100, maxQueuedBytes: 1000 },
      { onFrame() {}, onEnd() {} },
    );
    silent.send(encode(toAgent, { kind: "close", id: 1 }));
    await until(() => agent.lines.some((line) => line.includes("no hello")));
  });

  test(`${MAX_AGENT_CONTEXTS} configurations`, async () => {
    for (let id = 1; id <= MAX_AGENT_CONTEXTS; id++) program.context(id);
    await program.settle();
    assert.equal(program.ended, null);
    program.say({ kind: "close-context", id: 7 });
    program.context(7);
    await program.settle();
    assert.equal(agent.agent.counters.contexts, MAX_AGENT_CONTEXTS);
    program.context(MAX_AGENT_CONTEXTS + 1);
    await cutOff(/too many configurations/);
  });

  test(`${MAX_AGENT_CONTEXT_BYTES} bytes of configurations`, async () => {
    program.context(1);
    const half = ["x".repeat(MAX_AGENT_CONTEXT_BYTES / 32)];
    for (let id = 2; id <= 32; id++) program.context(id, half);
    await program.settle();
    assert.equal(program.ended, null);
    program.context(33, half);
    await cutOff(/too many configurations/);
  });

  test(`a message of ${MAX_AGENT_FRAME_BYTES} bytes`, async () => {
    const frame = (ca: string) => encode(toAgent, { kind: "context", id: 1, choice, config: { ...CONFIG, ca: [ca] } });
    const longest = "x".repeat(MAX_AGENT_FRAME_BYTES - frame("").length);
    program.socket.send(frame(longest));
    await program.settle();
    assert.equal(program.ended, null);
    program.socket.send(new Uint8Array(MAX_AGENT_FRAME_BYTES + 1));
    await until(() => program.ended !== null);
    await until(() => agent.lines.at(-1)?.includes("EMSGSIZE"));
  });

  test(`${MAX_AGENT_SESSIONS} sessions: one more fails with EIO, and there is room when one is closed`, async () => {
    program.context(1);
    for (let id = 1; id <= MAX_AGENT_SESSIONS; id++) program.session(id, 1);
    await until(() => program.results.size === MAX_AGENT_SESSIONS);
    assert.equal(agent.agent.counters.sessions, MAX_AGENT_SESSIONS);
    program.session(1e6, 1);
    await until(() => program.alert(1e6));
    assert.equal(program.alert(1e6)?.code, "EIO");
    assert.equal(program.alert(1e6)?.alert, 80);
    program.say({ kind: "close", id: 5 });
    program.session(1e6 + 1, 1);
    await until(() => program.results.has(1e6 + 1));
    assert.equal(program.alert(1e6 + 1), undefined);
  });

  test(`${MAX_AGENT_SESSION_BYTES} bytes for one session, one more fails with EIO`, async () => {
    const tls = agentTls(agent.path);
    const { alpn } = CONFIG;
    const pair = new Pair(
      tls.newClientContext({ alpn, ca: [identity.cert], serverName: "localhost", verify: "strict" }).newSession(PARTY),
      tls.newServerContext({ alpn, identities: { "*": identity } }).newSession(PARTY),
    );
    await pair.handshake(1);
    const { client, server } = pair;
    const put = server.of("send").reduce((sum, { bytes }) => sum + bytes.length, 0);
    const ticket = server.of("send").find(({ level }) => level === LEVEL_APP)?.bytes ?? new Uint8Array(0);
    assert.ok(ticket.length > 50);
    const times = Math.floor((MAX_AGENT_SESSION_BYTES - put) / ticket.length);
    for (let i = 0; i < times; i++) {
      const before = client.of("ticket").length;
      client.put(LEVEL_APP, ticket);
      await pair.until(() => client.of("ticket").length > before, "ticket");
    }
    assert.equal(client.alert, undefined);
    client.put(LEVEL_APP, ticket);
    assert.equal((await pair.failure("client")).code, "EIO");
    pair.close();
  });

  test(`who lets ${AGENT_BUSY_BYTES} bytes wait is read from no more, and goes on when it reads`, async () => {
    const count = 8000;
    const name = "x".repeat(900); // refused, and named in the alert
    program.context(1);
    program.socket.pause();
    for (let id = 1; id <= count; id++) {
      program.say({ kind: "session", id, context: 1, options: { ...PARTY, serverName: name } });
    }
    await until(() => agent.agent.counters.failures > 500);
    await sleep(100);
    const { failures } = agent.agent.counters;
    assert.ok(failures < count, "not all are answered");
    assert.ok(failures * name.length < AGENT_BUSY_BYTES + 1_000_000, "and the socket's own buffers");
    program.socket.resume();
    await until(() => program.results.size === count);
    assert.equal(program.ended, null);
  });

  describe("a program whose agent does not read", () => {
    async function silentAgent(work: (path: string) => Promise<void>): Promise<void> {
      const path = `${agent.path}.silent`;
      const held: Socket[] = [];
      const server = createServer((socket) => held.push(socket.pause())).listen(path);
      await work(path);
      for (const socket of held) socket.destroy();
      server.close();
    }

    test(`begins no handshake while more than ${AGENT_BUSY_BYTES} bytes wait: EIO for the new one alone`, () =>
      silentAgent(async (path) => {
        const context = agentTls(path).newServerContext({ alpn: ["x"], identities: {} });
        const first = context.newSession(PARTY);
        const part = new Uint8Array(100_000);
        for (let i = 0; i < AGENT_BUSY_BYTES / 100_000 - 1; i++) first.put(LEVEL_APP, part);
        const second = context.newSession(PARTY);
        for (let i = 0; i < 10; i++) first.put(LEVEL_APP, part);
        const third = context.newSession(PARTY);
        const results = await new Promise<TlsResult | null>((resolve) => {
          third.onResults = () => resolve(third.take());
        });
        assert.ok(results?.kind === "alert" && results.code === "EIO");
        assert.deepEqual([first.take(), second.take()], [null, null]);
      }));

    test(`loses it with ${MAX_AGENT_QUEUE_BYTES} bytes: EIO`, () =>
      silentAgent(async (path) => {
        const context = agentTls(path).newServerContext({ alpn: ["x"], identities: {} });
        const session = context.newSession(PARTY);
        const ended = new Promise<TlsResult | null>((resolve) => {
          session.onResults = () => resolve(session.take());
        });
        const part = new Uint8Array(1_000_000);
        for (let i = 0; i < 60; i++) session.put(LEVEL_APP, part);
        await sleep(20);
        assert.equal(session.take(), null);
        for (let i = 0; i < 10; i++) session.put(LEVEL_APP, part);
        const result = await ended;
        assert.ok(result?.kind === "alert" && result.code === "EIO");
      }));
  });

  test(`${MAX_AGENT_PROGRAMS} programs with handshakes, the next one is turned away`, async () => {
    const programs = [program];
    while (programs.length < MAX_AGENT_PROGRAMS) programs.push(new RawProgram(agent.path));
    for (const one of programs) {
      one.context(1);
      one.session(1, 1);
    }
    await until(() => agent.agent.counters.sessions === MAX_AGENT_PROGRAMS);
    const late = new RawProgram(agent.path);
    await until(() => late.ended !== null);
    assert.equal(late.welcome, null);
    programs[7]?.say({ kind: "close", id: 1 });
    await until(() => agent.agent.counters.sessions === MAX_AGENT_PROGRAMS - 1);
    const next = new RawProgram(agent.path);
    await until(() => next.welcome);
    programs.push(next);
    await until(() => programs[7]?.ended === "");
    assert.equal(programs.filter(({ ended }) => ended !== null).length, 1, "the only one without a handshake");
    for (const one of programs) one.socket.destroy();
    await until(() => agent.agent.counters.programs === 0);
  });
});

describe("time", () => {
  test("a handshake ends after the agent's time with ETIMEDOUT, or after the program's if that is shorter", async () => {
    mock.timers.enable({ apis: ["setTimeout"] });
    try {
      const agent = await testAgent({ handshakeMillis: LIMIT_OF_CODE });
      const program = new RawProgram(agent.path);
      program.context(1);
      const shorter = { ...choice, timeoutMillis: 1000 };
      const longer = { ...choice, timeoutMillis: 10 * AGENT_HANDSHAKE_MILLIS };
      program.say({ kind: "context", id: 2, choice: shorter, config: CONFIG });
      program.say({ kind: "context", id: 3, choice: longer, config: CONFIG });
      for (const id of [1, 2, 3]) program.session(id, id);
      const turns = async (count: number) => {
        for (let i = 0; i < count; i++) await new Promise(setImmediate);
      };
      while (program.results.size < 3) await turns(1);
      const codes = () => [1, 2, 3].map((id) => program.alert(id)?.code);
      mock.timers.tick(1000);
      while (codes()[1] === undefined) await turns(1);
      assert.deepEqual(codes(), [undefined, "ETIMEDOUT", undefined]);
      mock.timers.tick(AGENT_HANDSHAKE_MILLIS - 1001);
      await turns(20);
      assert.deepEqual(codes(), [undefined, "ETIMEDOUT", undefined]);
      mock.timers.tick(1);
      while (codes()[2] === undefined) await turns(1);
      assert.deepEqual(codes(), ["ETIMEDOUT", "ETIMEDOUT", "ETIMEDOUT"]);
      assert.equal(agent.agent.counters.sessions, 0);
      program.socket.destroy();
      agent.stop();
    } finally {
      mock.timers.reset();
    }
  });

  test("a session that is done is forgotten after its rest, whoever forgets to close it", async () => {
    const agent = await testAgent({ server: { identities: { "*": identity } } });
    const tls = agentTls(agent.path);
    const client = tls.newClientContext({
      alpn: ["x"],
      ca: [identity.cert],
      serverName: "localhost",
      verify: "strict",
    });
    const server = tls.newServerContext({ alpn: ["x"], identities: {} });
    mock.timers.enable({ apis: ["setTimeout"] });
    try {
      const pair = new Pair(client.newSession(PARTY), server.newSession(PARTY));
      await pair.handshake(1);
      assert.equal(agent.agent.counters.sessions, 2);
      mock.timers.tick(AGENT_SESSION_REST_MILLIS - 1);
      assert.equal(agent.agent.counters.sessions, 2);
      mock.timers.tick(1);
      assert.equal(agent.agent.counters.sessions, 0);
      pair.close();
    } finally {
      mock.timers.reset();
      agent.stop();
    }
  });
});
