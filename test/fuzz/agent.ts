/** Targets: what programs say to the handshake agent, and what it says to them. */

import assert from "node:assert/strict";
import type { Socket } from "node:net";
import { PassThrough } from "node:stream";
import type { Codec } from "#src/agent/codec.js";
import { AGENT_PROTOCOL_VERSION, decode, encode, fromAgent, type ToAgent, toAgent } from "#src/agent/protocol.js";
import { type AgentCore, ProgramService } from "#src/agent/service.js";
import { LEVEL_INITIAL, type TlsInfo } from "#src/port/tls.js";
import { NullTls } from "../support/null-tls.js";
import type { Target } from "./loop.js";

const BYTES = Uint8Array.of(1, 2, 3, 4);
const CHOICE = { auth: "any", pskIdentity: "", timeoutMillis: 1000 } as const;
const IDENTITY = { cert: "C", key: "K" };
const INFO: TlsInfo = {
  alpn: "x",
  serverName: "a",
  cipher: "c",
  group: "g",
  resumed: false,
  pskIdentity: "",
  earlyDataAccepted: false,
  peerCertificates: [BYTES],
  verifyError: "",
  tags: ["t"],
};

const SPOKEN: readonly ToAgent[] = [
  { kind: "hello", version: AGENT_PROTOCOL_VERSION },
  {
    kind: "context",
    id: 1,
    choice: CHOICE,
    config: { kind: "client", alpn: ["x"], serverName: "a", verify: "strict" },
  },
  { kind: "context", id: 2, choice: CHOICE, config: { kind: "server", alpn: ["x"], identities: { "*": IDENTITY } } },
  { kind: "session", id: 3, context: 1, options: { transportParams: BYTES } },
  { kind: "session", id: 4, context: 2, options: { transportParams: BYTES, ticketScope: 1 } },
  { kind: "put", id: 4, level: LEVEL_INITIAL, bytes: BYTES },
  { kind: "allow-early-data", id: 4, alpn: "x" },
  { kind: "close", id: 3 },
  { kind: "close-context", id: 2 },
];

function check<T>(codec: Codec<T>, frame: Uint8Array): void {
  const message = decode(codec, frame);
  if (message !== null) assert.deepEqual(encode(codec, message), frame, "one spelling of each message");
}

/** One message, either way. */
const messages: Target = {
  name: "agent-message",
  maxBytes: 400,
  seeds: () => [
    ...SPOKEN.map((message) => encode(toAgent, message)),
    encode(fromAgent, { kind: "welcome", version: 1, library: "L" }),
    encode(fromAgent, {
      kind: "results",
      id: 3,
      results: [
        { kind: "send", level: LEVEL_INITIAL, bytes: BYTES },
        { kind: "secret", level: LEVEL_INITIAL, direction: "read", aead: 1, secret: BYTES },
        { kind: "done", info: INFO },
        { kind: "alert", alert: 80, message: "m", code: "EIO" },
      ],
    }),
  ],
  run(input) {
    check(toAgent, input);
    check(fromAgent, input);
  },
};

/** As much of a socket as a program's connection needs. */
class FakeSocket extends PassThrough {
  readonly isFake = true;

  destroySoon(): void {
    this.destroy();
  }
}

/** All that one program sends: whatever it is, nothing of it is left when it is gone. */
const program: Target = {
  name: "agent-program",
  maxBytes: 1000,
  seeds: () => [framed(...SPOKEN), framed(...SPOKEN.slice(0, 5)), framed(...SPOKEN, ...SPOKEN)],
  run(input) {
    const counters = { programs: 0, contexts: 0, sessions: 0, handshakes: 0, failures: 0 };
    const core: AgentCore = {
      provider: new NullTls({ random: { fill: (into) => into.fill(7) } }),
      settings: { client: { identities: {} }, server: { identities: {} }, tags: [], handshakeMillis: 1000 },
      counters,
      log: () => {},
      keylog: null,
    };
    const socket = new FakeSocket();
    new ProgramService(core, socket as unknown as Socket, () => {});
    const half = input.length >> 1; // a chunk may end anywhere
    socket.emit("data", Buffer.from(input.subarray(0, half)));
    if (!socket.destroyed) socket.emit("data", Buffer.from(input.subarray(half)));
    assert.ok(counters.sessions >= 0 && counters.contexts >= 0 && counters.programs === 1);
    socket.removeAllListeners("error");
    socket.emit("close");
    socket.destroy();
    assert.deepEqual([counters.programs, counters.contexts, counters.sessions], [0, 0, 0]);
  },
};

function framed(...spoken: ToAgent[]): Uint8Array {
  const parts = spoken.map((message) => {
    const frame = encode(toAgent, message);
    const header = Buffer.alloc(4);
    header.writeUInt32BE(frame.length);
    return Buffer.concat([header, frame]);
  });
  return new Uint8Array(Buffer.concat(parts));
}

export const agentTargets: readonly Target[] = [messages, program];
