/** The client's side of a transfer: sends every file, takes every file back, ends when both copies are verified. */

import { Failure } from "../failure.js";
import type { Link, LinkFacts } from "./link.js";
import { Control, MAX_FILES, PROTOCOL_VERSION, type ServerReport } from "./protocol.js";
import { Receiver } from "./receiver.js";
import { Sender, type SourceFile } from "./sender.js";
import { type Spawn, supervise } from "./supervise.js";

const PROGRESS_INTERVAL_MILLIS = 100;

export interface ClientOptions {
  files: readonly SourceFile[];
  /** Where the files that come back go. */
  dir: string;
  runId: string;
  force: boolean;
  streams: number;
  signal: AbortSignal;
  /** Ten times a second: bytes handed to QUIC, bytes that came back. */
  onProgress(sentBytes: number, receivedBytes: number): void;
}

export interface ClientReport {
  files: number;
  totalBytes: number;
  client: LinkFacts;
  server: ServerReport;
  /** From the first to the last byte that came back. */
  receiveMicros: number;
}

export async function runClient(link: Link, options: ClientOptions): Promise<ClientReport> {
  const { files, dir, runId, force, signal } = options;
  if (files.length > MAX_FILES) throw new Failure(`too many files: ${MAX_FILES} at most in one transfer`);
  const state = { sentBytes: 0, verified: 0 };
  let control: Control | null = null;
  const receiver = new Receiver({
    dir,
    runId,
    force,
    onBytes: () => {},
    onVerified: (index) => {
      void control?.send({ type: "verified", file: index });
      if (++state.verified === files.length) void control?.send({ type: "done" });
    },
  });
  const show = () => options.onProgress(state.sentBytes, receiver.receivedBytes);
  const timer = setInterval(show, PROGRESS_INTERVAL_MILLIS);
  const work = async (spawn: Spawn) => {
    await receiver.offer(files);
    control = new Control(await link.control());
    link.onUni((source) => spawn(receiver.range(source)));
    const onBytes = (count: number) => void (state.sentBytes += count);
    return await converse(control, receiver, new Sender(link, control, options.streams, onBytes), options, spawn);
  };
  try {
    const server = await supervise(link, signal, work, () => receiver.discard());
    show();
    const totalBytes = files.reduce((sum, { size }) => sum + size, 0);
    const report = {
      files: files.length,
      totalBytes,
      client: link.facts(),
      server,
      receiveMicros: receiver.receiveMicros,
    };
    await link.close().catch(() => {}); // all is verified; how the peer leaves changes nothing
    return report;
  } finally {
    clearInterval(timer);
  }
}

async function converse(
  control: Control,
  receiver: Receiver,
  sender: Sender,
  { files }: ClientOptions,
  spawn: Spawn,
): Promise<ServerReport> {
  const hashes: Promise<string>[] = [];
  const sendOne = (index: number, file: SourceFile): void => {
    const sent = sender.send(index, file);
    hashes[index] = sent;
    spawn(sent);
  };
  // the server may answer before the file is closed here
  const takeBack = async (index: number, sha256: string): Promise<void> => {
    if (sha256 !== (await hashes[index])) throw new Failure("the server sent back another file than it got");
    await receiver.sent(index, sha256);
  };
  const offer = async () => {
    await control.send({ type: "hello", version: PROTOCOL_VERSION });
    for (const { name, size } of files) await control.send({ type: "file", name, size });
    await control.send({ type: "offered", count: files.length });
  };
  spawn(offer());
  for await (const message of control.messages()) {
    if (message.type === "ready") files.forEach((file, index) => sendOne(index, file));
    else if (message.type === "sent") spawn(takeBack(message.file, message.sha256));
    else if (message.type === "report") {
      await control.end();
      return message;
    } else if (message.type !== "verified") throw new Failure(`the server sent an unexpected message: ${message.type}`);
  }
  throw new Failure("the server stopped talking before the transfer was complete", { byPeer: true });
}
