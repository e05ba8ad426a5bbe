/**
 * What programs and the agent say to each other, one message a frame (docs/agent.md): port/tls as messages. Contexts and
 * sessions have numbers that the program chooses.
 *
 * Invariant: a decoder gives a whole valid message or null. Nothing may follow it in its frame.
 */

import { Reader, Writer } from "../base/bytes.js";
import { AEAD_AES_128_CCM, AEAD_AES_128_GCM, AEAD_AES_256_GCM, AEAD_CHACHA20_POLY1305 } from "../port/aead.js";
import type {
  HelloNames,
  TlsClientConfig,
  TlsIdentity,
  TlsInfo,
  TlsPsk,
  TlsResult,
  TlsServerConfig,
  TlsSessionOptions,
} from "../port/tls.js";
import { LEVEL_APP, LEVEL_EARLY, LEVEL_HANDSHAKE, LEVEL_INITIAL, type Level } from "../port/tls.js";
import { MAX_AGENT_FRAME_BYTES, MAX_TLS_MESSAGE_BYTES } from "../proto/limits.js";
import {
  bytes,
  type Codec,
  flag,
  list,
  oneOf,
  optional,
  record,
  struct,
  text,
  uint16,
  uint32,
  union,
} from "./codec.js";

/** Raised with every change that an older program or agent would misread. */
export const AGENT_PROTOCOL_VERSION = 1;

/** How the agent picks what of its own a handshake uses, where the program brings nothing. */
export interface AgentChoice {
  /** `any`: certificates where the agent has them, else pre-shared keys. */
  auth: "any" | "certificate" | "psk";
  /** Client: the identity of the pre-shared key to offer; "" = the first. */
  pskIdentity: string;
  /** For each handshake, milliseconds; 0 = the agent's own time, which is also the longest. */
  timeoutMillis: number;
}

/** A configuration as the program has it; what it leaves out is the agent's. */
export type ContextConfig = ({ kind: "client" } & TlsClientConfig) | ({ kind: "server" } & TlsServerConfig);

export type ToAgent =
  | { kind: "hello"; version: number }
  | { kind: "context"; id: number; choice: AgentChoice; config: ContextConfig }
  | { kind: "session"; id: number; context: number; options: TlsSessionOptions }
  | { kind: "put"; id: number; level: Level; bytes: Uint8Array }
  | { kind: "allow-early-data"; id: number; alpn: string }
  | { kind: "close"; id: number }
  | { kind: "close-context"; id: number };

export type FromAgent =
  | { kind: "welcome"; version: number; library: string }
  | { kind: "results"; id: number; results: TlsResult[] };

const MAX_NAME_BYTES = 255;
/** Distinguished names, messages, lists of ciphers. */
const MAX_TEXT_BYTES = 4096;
const MAX_PEM_BYTES = MAX_AGENT_FRAME_BYTES;
const MAX_ITEMS = 0xffff;
const MAX_PARAMS_BYTES = 0xffff;

const name = text(MAX_NAME_BYTES);
const longText = text(MAX_TEXT_BYTES);
const pem = text(MAX_PEM_BYTES);
const anyBytes = bytes(MAX_AGENT_FRAME_BYTES);
const id = uint32();
const levels = [LEVEL_INITIAL, LEVEL_EARLY, LEVEL_HANDSHAKE, LEVEL_APP] as const;
const level: Codec<Level> = oneOf(levels);
const aeads = [AEAD_AES_128_GCM, AEAD_AES_256_GCM, AEAD_CHACHA20_POLY1305, AEAD_AES_128_CCM] as const;

/** Programs have one certificate each; post-quantum ones are the agent's. */
const identity = struct<Omit<TlsIdentity, "postQuantum">>({ cert: pem, key: pem });
const common = {
  alpn: list(name, MAX_ITEMS),
  ca: optional(list(pem, MAX_ITEMS)),
  crl: optional(list(pem, MAX_ITEMS)),
  ciphers: optional(longText),
  groups: optional(longText),
  keylog: optional(flag),
  psk: optional(list(struct<TlsPsk>({ identity: text(0xffff), key: bytes(0xffff) }), MAX_ITEMS)),
  earlyData: optional(flag),
};

const context = union<ContextConfig>({
  client: [
    0,
    {
      ...common,
      serverName: longText,
      verify: oneOf(["strict", "report"]),
      identity: optional(identity),
      ticket: optional(anyBytes),
    },
  ],
  server: [
    1,
    {
      ...common,
      identities: record(name, identity, MAX_ITEMS),
      clientCertificate: optional(oneOf(["ignore", "request", "require"])),
      ticketSecret: optional(bytes(MAX_TEXT_BYTES)),
    },
  ],
});

const choice = struct<AgentChoice>({
  auth: oneOf(["any", "certificate", "psk"]),
  pskIdentity: text(0xffff),
  timeoutMillis: uint32(),
});

const options = struct<TlsSessionOptions>({
  transportParams: bytes(MAX_PARAMS_BYTES),
  serverName: optional(longText),
  ticket: optional(anyBytes),
  earlyData: optional(flag),
  ticketScope: optional(uint32()),
  hello: optional(
    struct<HelloNames>({
      serverName: text(2 * MAX_TLS_MESSAGE_BYTES),
      alpn: list(text(2 * MAX_NAME_BYTES), MAX_ITEMS),
    }),
  ),
});

const info = struct<TlsInfo>({
  alpn: name,
  serverName: longText,
  cipher: name,
  group: name,
  resumed: flag,
  pskIdentity: text(0xffff),
  earlyDataAccepted: flag,
  peerCertificates: list(anyBytes, MAX_ITEMS),
  verifyError: name,
  tags: optional(list(name, MAX_ITEMS)),
});

const result = union<TlsResult>({
  send: [0, { level, bytes: anyBytes }],
  secret: [1, { level, direction: oneOf(["read", "write"]), aead: oneOf(aeads), secret: bytes(64) }],
  "peer-params": [2, { bytes: bytes(MAX_PARAMS_BYTES) }],
  done: [3, { info }],
  ticket: [4, { bytes: anyBytes }],
  keylog: [5, { line: longText }],
  alert: [6, { alert: uint16(255), message: longText, code: optional(name) }],
});

export const toAgent = union<ToAgent>({
  hello: [1, { version: uint16() }],
  context: [2, { id, choice, config: context }],
  session: [3, { id, context: id, options }],
  put: [4, { id, level, bytes: anyBytes }],
  "allow-early-data": [5, { id, alpn: name }],
  close: [6, { id }],
  "close-context": [7, { id }],
});

export const fromAgent = union<FromAgent>({
  welcome: [64, { version: uint16(), library: name }],
  results: [65, { id, results: list(result, MAX_ITEMS) }],
});

export function encode<T>(codec: Codec<T>, message: T): Uint8Array {
  const out = new Writer(256);
  codec.write(out, message);
  return out.finish();
}

/** The message of a frame; null when it is none. */
export function decode<T>(codec: Codec<T>, frame: Uint8Array): T | null {
  const from = new Reader();
  from.reset(frame, 0, frame.length);
  const message = codec.read(from);
  return from.ok && from.remaining === 0 ? message : null;
}
