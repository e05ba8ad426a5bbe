/** `quic transfer`: sends files to a server and back. Both sides here by default; one of them with --listen or --connect. */

import { join } from "node:path";
import { addressText } from "../api/address.js";
import { EXIT_OK, Failure, oneLine } from "./failure.js";
import { formatBytes, formatFiles } from "./format.js";
import { TRANSFER_HELP } from "./help.js";
import { type Output, Progress } from "./progress.js";
import type { ClientJob, ClientResult, ListeningEvent, ServerJob } from "./transfer/job.js";
import { runClientJob, runServerJob } from "./transfer/network.js";
import { parseTransfer, type TransferOptions } from "./transfer/options.js";
import { runPair } from "./transfer/pair.js";
import { makeFolder, makeSample, newRunId, preparePlace, removeEmpty, removeParts } from "./transfer/places.js";
import { inspectSource, type SourceFile } from "./transfer/sender.js";
import { summaryJson, summaryLines } from "./transfer/summary.js";

/** Folder below --out for what comes back, when the server's folder is the same. */
const RETURNED = "returned";

export interface Surroundings {
  stdout: Output;
  env: Record<string, string | undefined>;
  /** Ends the command; its reason is the failure. */
  signal: AbortSignal;
  /** SIGHUP calls `reload` from now on, and ends nothing. */
  onHangup(reload: () => void): void;
}

/** Resolves to the exit code. @throws a Failure for everything else. */
export async function transfer(args: readonly string[], around: Surroundings): Promise<number> {
  const options = parseTransfer(args);
  const { mode } = options;
  const progress = new Progress(around.stdout, around.env);
  if (mode === "help") around.stdout.write(TRANSFER_HELP);
  else if (mode === "listen") await listen(options, progress, around.signal);
  else await send(options, progress, around.signal);
  return EXIT_OK;
}

/** Serves until the signal comes. */
async function listen(options: TransferOptions, progress: Progress, signal: AbortSignal): Promise<void> {
  const place = await preparePlace(options.out);
  const job = { ...serverJob(options, place.dir), once: false };
  const onListening = ({ address, port, pin }: ListeningEvent) => {
    const where = addressText(address, port);
    progress.line(`listening on ${where}, files go to ${place.dir}; Ctrl-C ends`);
    if (pin !== null) progress.line(`send with: quic transfer FILE... --connect ${where} --pin ${pin}`);
  };
  try {
    await runServerJob(
      job,
      {
        onListening,
        onServed: (result) => {
          if (result instanceof Failure) progress.line(`a transfer failed: ${result.message}`);
          else progress.line(`received and sent back ${formatFiles(result.files)}, ${formatBytes(result.totalBytes)}`);
        },
      },
      signal,
    );
  } finally {
    await removeParts(place.dir, job.runId);
    await removeEmpty(place.made);
  }
}

/** Sends the files or a sample; with --connect to a server elsewhere, else to one that is started beside it. */
async function send(options: TransferOptions, progress: Progress, signal: AbortSignal): Promise<void> {
  const given: SourceFile[] = [];
  for (const path of options.files) given.push(await inspectSource(path));
  const isPair = options.mode === "pair";
  if (isPair && given.some(({ name }) => name === RETURNED)) {
    throw new Failure(`a file cannot be called ${RETURNED}: the folder for what comes back has that name`);
  }
  const sample = given.length === 0 ? await makeSample() : null;
  const place = await preparePlace(options.out).catch(async (error) => {
    await sample?.remove();
    throw error;
  });
  const made = [...place.made];
  const backDir = isPair ? join(place.dir, RETURNED) : place.dir;
  const files = sample === null ? given : [await inspectSource(sample.path)];
  const server = serverJob(options, place.dir);
  const client = clientJob(options, files, backDir, server.runId);
  try {
    made.unshift(...(await makeFolder(backDir)));
    const result = await run(server, client, isPair, options, progress, signal);
    report(result, isPair ? place.dir : null, backDir, options, progress);
  } catch (error) {
    progress.clear();
    for (const dir of new Set([place.dir, backDir])) await removeParts(dir, server.runId);
    await removeEmpty(made);
    throw error;
  } finally {
    await sample?.remove();
  }
}

async function run(
  server: ServerJob,
  client: ClientJob,
  isPair: boolean,
  options: TransferOptions,
  progress: Progress,
  signal: AbortSignal,
): Promise<ClientResult> {
  const bytes = client.files.reduce((sum, { size }) => sum + size, 0);
  const names =
    client.files.length === 1 ? oneLine((client.files[0] as SourceFile).name) : formatFiles(client.files.length);
  const announce = (address: string, port: number) => {
    const streams = options.streams === 1 ? "1 stream" : `${options.streams} streams`;
    progress.line(
      `sending ${names} (${formatBytes(bytes)}) to ${address} port ${port} and back on ${streams} each way`,
    );
  };
  const onProgress = (sentBytes: number, receivedBytes: number) => {
    progress.update(labelOf(sentBytes, receivedBytes, bytes), sentBytes + receivedBytes, 2 * bytes);
  };
  if (!isPair) {
    announce(client.host, client.port);
    return await runClientJob(client, { onProgress }, signal);
  }
  const events = {
    onListening: ({ address, port }: ListeningEvent) => announce(address, port),
    onProgress,
    onLine: (role: string, line: string) => progress.line(`${role}: ${line}`),
  };
  return await runPair(server, client, events, signal);
}

function labelOf(sentBytes: number, receivedBytes: number, bytes: number): string {
  if (sentBytes < bytes) return receivedBytes === 0 ? "to the server" : "both ways";
  return receivedBytes === 0 ? "server verifies" : "back from the server";
}

function report(
  result: ClientResult,
  serverDir: string | null,
  clientDir: string,
  options: TransferOptions,
  progress: Progress,
): void {
  const summary = { ...result, serverDir, clientDir };
  const [verified, ...rest] = summaryLines(summary);
  progress.line(progress.good(verified as string));
  for (const line of rest) progress.line(line);
  if (options.json) progress.line(summaryJson(summary));
}

function serverJob(options: TransferOptions, dir: string): ServerJob {
  const { host, port, force, timeoutSeconds, streams, certPath, keyPath } = options;
  const common = { host, port, dir, runId: newRunId(), force, timeoutSeconds, streams };
  return { role: "server", ...common, certPath, keyPath, once: true };
}

function clientJob(options: TransferOptions, files: readonly SourceFile[], dir: string, runId: string): ClientJob {
  const { host, port, force, timeoutSeconds, streams, caPath, pin, serverName } = options;
  const common = { host, port, dir, runId, force, timeoutSeconds, streams };
  return { role: "client", ...common, files, caPath, pin, serverName };
}
