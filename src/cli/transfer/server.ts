/** The server's side of a transfer: takes the client's files, and sends each back as soon as it is verified. */

import { Failure } from "../failure.js";
import type { Link } from "./link.js";
import { Control, MAX_FILES, type Message, type OfferedFile, PROTOCOL_VERSION } from "./protocol.js";
import { Receiver } from "./receiver.js";
import { Sender } from "./sender.js";
import { type Spawn, supervise } from "./supervise.js";

export interface ServerOptions {
  /** Where the client's files go. */
  dir: string;
  runId: string;
  force: boolean;
  streams: number;
  signal: AbortSignal;
}

export interface ServerResult {
  files: number;
  totalBytes: number;
}

export async function runServer(link: Link, options: ServerOptions): Promise<ServerResult> {
  const { dir, runId, force, signal } = options;
  let onVerified: (index: number, path: string, sha256: string) => void = () => {};
  const receiver = new Receiver({
    dir,
    runId,
    force,
    onBytes: () => {},
    onVerified: (index, path, sha256) => onVerified(index, path, sha256),
  });
  const work = async (spawn: Spawn) => {
    const control = new Control(await link.control());
    const messages = control.messages();
    const files = await readOffer(messages);
    await receiver.offer(files);
    const sender = new Sender(link, control, options.streams, () => {});
    onVerified = (index, path, sha256) => {
      spawn(control.send({ type: "verified", file: index }));
      const { name, size } = files[index] as OfferedFile;
      spawn(sender.send(index, { path, name, size }, sha256));
    };
    link.onUni((source) => spawn(receiver.range(source)));
    await control.send({ type: "ready" });
    await followClient(messages, files.length, receiver, spawn);
    const { tls, datapath, packetsSent, packetsLost } = link.facts();
    const { receivedBytes, receiveMicros } = receiver;
    await control.send({ type: "report", receivedBytes, receiveMicros, packetsSent, packetsLost, tls, datapath });
    await control.end();
    return { files: files.length, totalBytes: receivedBytes };
  };
  const result = await supervise(link, signal, work, () => receiver.discard());
  await link.closed.catch(() => {}); // all is verified; how the client leaves changes nothing
  return result;
}

async function readOffer(messages: AsyncIterator<Message>): Promise<OfferedFile[]> {
  const files: OfferedFile[] = [];
  let greeted = false;
  for (let next = await messages.next(); next.done !== true; next = await messages.next()) {
    const message = next.value;
    if (message.type === "hello") {
      if (message.version !== PROTOCOL_VERSION) {
        throw new Failure(
          `the client speaks version ${message.version} of the transfer protocol, not ${PROTOCOL_VERSION}`,
        );
      }
      greeted = true;
    } else if (!greeted) break;
    else if (message.type === "file") {
      if (files.push({ name: message.name, size: message.size }) > MAX_FILES) throw new Failure("too many files");
    } else if (message.type === "offered" && message.count === files.length) return files;
    else break;
  }
  throw new Failure("the client did not say what it sends");
}

/** Returns when the client has verified what came back. */
async function followClient(
  messages: AsyncIterator<Message>,
  count: number,
  receiver: Receiver,
  spawn: Spawn,
): Promise<void> {
  let verified = 0;
  for (let next = await messages.next(); next.done !== true; next = await messages.next()) {
    const message = next.value;
    if (message.type === "sent") spawn(receiver.sent(message.file, message.sha256));
    else if (message.type === "verified") verified++;
    else if (message.type === "done" && verified === count) return;
    else throw new Failure(`the client sent an unexpected message: ${message.type}`);
  }
  throw new Failure("the client stopped talking before the transfer was complete", { byPeer: true });
}
