/**
 * The TLS library alone: both sides of a handshake in memory through port/tls, without QUIC, on one core. It says what a
 * handshake would cost if packets, keys and the API cost nothing.
 */

import type { TlsSession } from "#src/port/tls.js";
import { chooseTls } from "#src/runtime/choose-tls.js";
import { devCertificate } from "#src/runtime/native/x509.js";
import { ownJob, tell } from "./child.js";

export interface LibraryFigures {
  /** Handshakes for each CPU second of both sides together. */
  perSec: number;
  /** And of the server's part alone. */
  serverPerSec: number;
  /** The server's part of resumed ones. */
  serverResumedPerSec: number;
}

interface Millis {
  client: number;
  server: number;
}

const WARM_UP = 500;
/** initial_max_data, initial_max_stream_data_uni: the library does not look inside. */
const TRANSPORT_PARAMS = Uint8Array.of(0x04, 0x04, 0x80, 0x10, 0x00, 0x00, 0x07, 0x04, 0x80, 0x10, 0x00, 0x00);
const { count } = ownJob<{ count: number }>();
const provider = chooseTls(process.env);
const { cert, key } = devCertificate({ hosts: ["localhost"] });
const server = provider.newServerContext({ alpn: ["perf"], identities: { "*": { cert, key } } });
const client = provider.newClientContext({ alpn: ["perf"], serverName: "localhost", verify: "strict", ca: [cert] });

/** The latest one that the client was given. */
let ticket: Uint8Array | null = null;

/** Takes what `from` has to say; what it sends goes to `to`. True when it is done. */
function carry(from: TlsSession, to: TlsSession, clock: { from: number; to: number }): boolean {
  let isDone = false;
  let started = performance.now();
  for (let result = from.take(); result !== null; result = from.take()) {
    if (result.kind === "done") isDone = true;
    if (result.kind === "ticket") ticket = result.bytes;
    if (result.kind === "alert") throw new Error(`TLS alert ${result.alert}: ${result.message}`);
    if (result.kind !== "send") continue;
    const handedOver = performance.now();
    to.put(result.level, result.bytes);
    clock.from += handedOver - started;
    started = performance.now();
    clock.to += started - handedOver;
  }
  clock.from += performance.now() - started;
  return isDone;
}

/** Adds the milliseconds of each side. */
function handshake(millis: Millis, resumes: boolean): void {
  const start = performance.now();
  const resumption = resumes && ticket !== null ? { ticket } : {};
  const a = client.newSession({ transportParams: TRANSPORT_PARAMS, ...resumption });
  const between = performance.now();
  const b = server.newSession({ transportParams: TRANSPORT_PARAMS });
  millis.client += between - start;
  millis.server += performance.now() - between;
  let clientDone = false;
  let serverDone = false;
  const forth = { from: 0, to: 0 };
  const back = { from: 0, to: 0 };
  for (let round = 0; !(clientDone && serverDone); round++) {
    if (round > 10) throw new Error("the handshake does not end");
    clientDone = carry(a, b, forth) || clientDone;
    serverDone = carry(b, a, back) || serverDone;
  }
  carry(a, b, forth); // what the server gave last: tickets
  a.close();
  b.close();
  millis.client += forth.from + back.to;
  millis.server += forth.to + back.from;
}

/** Handshakes for each CPU second of both sides, and of the server's part. */
function measure(resumes: boolean): { perSec: number; serverPerSec: number } {
  for (let i = 0; i < WARM_UP; i++) handshake({ client: 0, server: 0 }, resumes);
  const millis = { client: 0, server: 0 };
  const before = process.cpuUsage();
  for (let i = 0; i < count; i++) handshake(millis, resumes);
  const { user, system } = process.cpuUsage(before);
  const perSec = (count * 1e6) / (user + system);
  return { perSec, serverPerSec: (perSec * (millis.client + millis.server)) / millis.server };
}

const full = measure(false);
const resumed = measure(true);
tell({ ...full, serverResumedPerSec: resumed.serverPerSec } satisfies LibraryFigures);
