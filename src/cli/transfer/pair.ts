/**
 * Both sides of a transfer on this machine: starts a server process and a client process, relays what they say, and
 * makes one failure out of the two that a broken transfer has.
 */

import { Failure, toFailure } from "../failure.js";
import { Child } from "./child.js";
import type { ClientJob, ClientResult, ListeningEvent, ServerJob, WorkerMessage } from "./job.js";

/** When one side only heard that the other gave up, the other has this long to say why. */
const BETTER_REASON_MILLIS = 1000;

export interface PairEvents {
  onListening(event: ListeningEvent): void;
  onProgress(sentBytes: number, receivedBytes: number): void;
  onLine(role: string, line: string): void;
}

/** `client.host`, `client.port` and `client.pin` are filled in from what the server says. */
export async function runPair(
  serverJob: ServerJob,
  clientJob: ClientJob,
  events: PairEvents,
  signal: AbortSignal,
): Promise<ClientResult> {
  const children: Child[] = [];
  let onAbort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(toFailure(signal.reason));
  });
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    signal.throwIfAborted();
    const work = startBoth(children, serverJob, clientJob, events);
    return await Promise.race([aborted, work]);
  } catch (error) {
    throw await betterReason(toFailure(error), children, signal);
  } finally {
    signal.removeEventListener("abort", onAbort);
    await Promise.all(children.map((child) => child.stop()));
  }
}

async function startBoth(
  children: Child[],
  serverJob: ServerJob,
  clientJob: ClientJob,
  events: PairEvents,
): Promise<ClientResult> {
  let onListening: (event: ListeningEvent) => void = () => {};
  const listening = new Promise<ListeningEvent>((resolve) => {
    onListening = resolve;
  });
  const onMessage = (message: WorkerMessage) => {
    if (message.type === "listening") onListening(message);
    else if (message.type === "progress") events.onProgress(message.sentBytes, message.receivedBytes);
  };
  const server = new Child(serverJob, { onMessage, onLine: (line) => events.onLine("server", line) });
  children.push(server);
  const where = await Promise.race([listening, server.done.then(endedEarly)]);
  events.onListening(where);
  const pin = clientJob.caPath === null ? where.pin : null;
  const job = { ...clientJob, host: reachable(where.address), port: where.port, pin };
  const client = new Child(job, { onMessage, onLine: (line) => events.onLine("client", line) });
  children.push(client);
  const [result] = await Promise.all([client.done, server.done]);
  return result as ClientResult;
}

function endedEarly(): never {
  throw new Failure("the server process ended before it listened");
}

/** A server that is bound to all addresses is reached at the loopback address. */
function reachable(address: string): string {
  if (address === "0.0.0.0") return "127.0.0.1";
  return address === "::" ? "::1" : address;
}

/** Of two failures the one that is not an echo of the other. */
async function betterReason(first: Failure, children: Child[], signal: AbortSignal): Promise<Failure> {
  if (!first.byPeer || signal.aborted) return first;
  const own = children.map((child) =>
    child.done.then(
      () => null,
      (error: Failure) => (error.byPeer ? null : error),
    ),
  );
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), BETTER_REASON_MILLIS);
  });
  const found = await Promise.race([late, Promise.all(own).then((all) => all.find((error) => error !== null) ?? null)]);
  clearTimeout(timer);
  return found ?? first;
}
