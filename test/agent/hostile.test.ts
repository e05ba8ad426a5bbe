/** Programs that may connect to the agent and mean it no good: others have their handshakes all the same. */

import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { after, before, describe, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { type ContextConfig, encode, toAgent, type ToAgent } from "#src/agent/protocol.js";
import { agentTls } from "#src/agent/provider.js";
import { serveAgent } from "#src/api/agent/serve.js";
import { LEVEL_APP, LEVEL_EARLY, LEVEL_HANDSHAKE, LEVEL_INITIAL, type TlsProvider } from "#src/port/tls.js";
import { Pair } from "#src/runtime/native/tls-pair.contract.js";
import { devCertificate } from "#src/runtime/native/x509.js";
import { Prng } from "#src/sim/prng.js";
import { until } from "../cli/run-quic.js";
import { AgentFolder, type TestAgent, testAgent } from "./support.js";

const SEED = Number(process.env.SIM_SEED ?? Date.now() % 1e9);
const MAX_AGENT_PROGRAMS = 256;
const { cert, key } = devCertificate({ hosts: ["localhost"] });
const PARTY = { transportParams: Uint8Array.of(1, 2) };
const CHOICE = { auth: "any", pskIdentity: "", timeoutMillis: 0 } as const;
const CLIENT: ContextConfig = { kind: "client", alpn: ["x"], ca: [cert], serverName: "localhost", verify: "strict" };
const LEVELS = [LEVEL_INITIAL, LEVEL_EARLY, LEVEL_HANDSHAKE, LEVEL_APP] as const;
const HELLO = framed(encode(toAgent, { kind: "hello", version: 1 }));

function framed(message: Uint8Array): Buffer {
  const header = Buffer.alloc(4);
  header.writeUInt32BE(message.length);
  return Buffer.concat([header, message]);
}

/** Both sides of a handshake that the agent does, for a program that stays connected. */
async function handshake(tls: TlsProvider): Promise<void> {
  const client = tls.newClientContext({ alpn: ["x"], ca: [cert], serverName: "localhost", verify: "strict" });
  const server = tls.newServerContext({ alpn: ["x"], identities: {} });
  const pair = new Pair(client.newSession(PARTY), server.newSession(PARTY));
  await pair.handshake();
  pair.close();
  for (const context of [client, server]) context.close();
}

/** One that never reads, and whose socket has no errors that anybody hears. */
function hostile(path: string): Socket {
  return connect({ path, allowHalfOpen: true }).on("error", () => {});
}

describe("hostile programs", () => {
  let agent: TestAgent;
  let honest: TlsProvider;
  before(async () => {
    agent = await testAgent({ server: { identities: { "*": { cert, key } } } });
    honest = agentTls(agent.path);
  });
  after(() => agent.stop());
  const nothingIsLeft = () =>
    until(() => {
      const { programs, contexts, sessions } = agent.agent.counters;
      return programs <= 2 && contexts === 0 && sessions === 0; // honest ones may be there
    });

  test(`whole messages in any order (SIM_SEED=${SEED}) cost at most the connection`, async () => {
    const prng = new Prng(SEED, "hostile-agent");
    const any = (count: number): number => Math.floor(prng.float() * count);
    const junk = (): Uint8Array => Uint8Array.from({ length: any(60) }, () => any(256));
    const side = { alpn: ["x"], ca: [cert] };
    const make: readonly (() => ToAgent)[] = [
      () => ({
        kind: "context",
        id: any(4),
        choice: { ...CHOICE, timeoutMillis: any(3) },
        config:
          any(2) === 0
            ? { kind: "client", ...side, serverName: "localhost", verify: "strict" }
            : { kind: "server", ...side, identities: {}, earlyData: any(2) === 0 },
      }),
      () => ({ kind: "session", id: any(6), context: any(4), options: { transportParams: junk() } }),
      () => ({ kind: "put", id: any(6), level: LEVELS[any(4)] ?? LEVEL_APP, bytes: junk() }),
      () => ({ kind: "allow-early-data", id: any(6), alpn: ["", "x", "y"][any(3)] ?? "" }),
      () => ({ kind: "close", id: any(6) }),
      () => ({ kind: "close-context", id: any(4) }),
    ];
    for (let round = 0; round < 100; round++) {
      const socket = hostile(agent.path);
      socket.write(HELLO);
      for (let i = 0; i < 30; i++) socket.write(framed(encode(toAgent, (make[any(make.length)] ?? make[0])!())));
      if (any(2) === 0) socket.end();
      await turn();
      socket.destroy();
    }
    await nothingIsLeft();
    await handshake(honest);
  });

  test("a crowd that says nothing, half a message, or only hello keeps nobody out", async () => {
    const crowd = Array.from({ length: MAX_AGENT_PROGRAMS }, (_, i) => {
      const socket = hostile(agent.path);
      socket.write([Buffer.alloc(0), HELLO, HELLO.subarray(0, 5), Buffer.of(0, 16, 0, 0)][i % 4] as Buffer);
      return socket;
    });
    await until(() => agent.agent.counters.programs === MAX_AGENT_PROGRAMS);
    // that one, at rest, may be who makes room, and does not know it yet
    honest = agentTls(agent.path);
    for (let i = 0; i < 3; i++) await handshake(honest);
    for (const socket of crowd) socket.destroy();
    await nothingIsLeft();
  });

  test("half-closed connections are closed, with their sessions", async () => {
    const crowd = Array.from({ length: 50 }, () => {
      const socket = hostile(agent.path);
      socket.write(HELLO);
      socket.write(framed(encode(toAgent, { kind: "context", id: 1, choice: CHOICE, config: CLIENT })));
      for (let id = 0; id < 20; id++) {
        socket.write(framed(encode(toAgent, { kind: "session", id, context: 1, options: PARTY })));
      }
      return socket.end();
    });
    await nothingIsLeft();
    for (const socket of crowd) socket.destroy();
    await handshake(honest);
  });
});

test("SIGHUPs in a crowd are read one by one, and the files of the last one count", async () => {
  const folder = new AgentFolder({ "cert.pem": cert, "key.pem": key });
  const role = "[authenticate.server]\nx509.certificate = cert.pem\nx509.private_key = key.pem\n";
  const lines: string[] = [];
  const ending = new AbortController();
  folder.write({ config: role });
  const { agent, reload, ended } = await serveAgent({
    config: folder.path("config"),
    socket: folder.path("agent.sock"),
    group: undefined,
    log: (line) => lines.push(line),
    signal: ending.signal,
  });
  const honest = agentTls(agent.path);
  const handshakes = Array.from({ length: 20 }, () => handshake(honest));
  const first = reload();
  await turn();
  folder.write({ config: `${role}x509.crl = missing\n` });
  const rest = Array.from({ length: 200 }, () => reload());
  await Promise.all([first, ...rest, ...handshakes]);
  assert.equal(lines.length, 2);
  assert.match(lines[1] ?? "", /^nothing changes: .*x509\.crl: ENOENT/);
  folder.write({ config: role });
  await reload();
  assert.match(lines[2] ?? "", /is read again$/);
  await handshake(honest);
  ending.abort();
  await ended;
  await folder.remove();
});
