/**
 * Our side of every cell, over the public API of the package and nothing else. With ALPN `h3` it speaks HTTP/3 through the
 * shim, until the package does.
 */

import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import {
  type ConnectOptions,
  connect,
  listen,
  type QuicSession,
  type QuicStream,
  type SessionOptions,
} from "#src/api/quic/index.js";
import type { SessionFacts } from "./cases.js";
import { answerQuery } from "./doq-shim/doq.js";
import { answer, controlStreamStart, request } from "./h3-shim/h3.js";
import {
  addressOf,
  describe,
  eachConnection,
  endWithHarness,
  exchange,
  type InteropStream,
  pattern,
  type ProgramOptions,
  readOptions,
  runClient,
  serveStream,
  sha256,
  tell,
} from "./protocol.js";

/** H3_NO_ERROR (RFC 9114 §8.1). */
const H3_NO_ERROR = 0x100;
const TICKET_TRIES = 1000;
const MIGRATE_TRIES = 200;
const MIGRATE_PAUSE_MILLIS = 10;
const TICKET_PAUSE_MILLIS = 20;

function fromQuicStream(stream: QuicStream): InteropStream {
  stream.closed.catch(() => {}); // reported where the stream is read or written
  return {
    read: chunksOf(stream),
    write: (bytes) => stream.writer.write(bytes),
    async end() {
      await stream.writer.end();
    },
  };
}

async function* chunksOf(stream: QuicStream): AsyncGenerator<Uint8Array> {
  for await (const batch of stream) yield* batch;
}

/** HTTP/3: our control stream, and those of the peer read and forgotten. */
async function openControlStream(session: QuicSession): Promise<void> {
  const stream = await session.createUnidirectionalStream();
  stream.closed.catch(() => {});
  await stream.writer.write(controlStreamStart());
}

async function discard(stream: QuicStream): Promise<void> {
  for await (const _ of stream);
}

/** Options of both roles. */
function common({ ciphers, versions, patienceMillis }: ProgramOptions): SessionOptions {
  return {
    ...(versions.length > 0 && { ext: { versions: [...versions] } }),
    ...(ciphers !== "" && { ciphers }),
    handshakeTimeout: patienceMillis,
    transportParams: { maxIdleTimeout: patienceMillis / 1000 },
  };
}

/** One GET for each stream of the case. */
async function fetchAll(open: () => Promise<InteropStream>, { streams, bytes }: ProgramOptions): Promise<string> {
  const expected = sha256(pattern(bytes));
  const fetchOne = async (): Promise<void> => {
    const { body } = await request(await open(), "GET", "/body", null);
    if (sha256(body) !== expected) throw new Error(`GET: ${body.length} bytes, wrong checksum`);
  };
  await Promise.all(Array.from({ length: streams }, fetchOne));
  return `${streams} x ${bytes} bytes down, SHA-256 equal`;
}

/** Takes new keys, and again when that is allowed. Resolves to the number of updates when the first is there. */
async function updateWhenOpen(session: QuicSession): Promise<number> {
  await session.opened;
  const before = session.ext.stats().keyUpdates;
  session.updateKey();
  while (!session.destroyed && session.ext.stats().keyUpdates === before) await setTimeout(1);
  session.updateKey();
  return session.ext.stats().keyUpdates;
}

/** Moves to another port as soon as the server has left a connection id for that. */
async function migrate(session: QuicSession): Promise<{ local: { port: number } }> {
  for (let tries = 0; ; tries++) {
    try {
      return await session.ext.migrate();
    } catch (error) {
      if (tries === MIGRATE_TRIES || !/no connection id/.test(describe(error))) throw error;
      await setTimeout(MIGRATE_PAUSE_MILLIS);
    }
  }
}

function factsOf(session: QuicSession, early: boolean): SessionFacts {
  const { ecn, ect0Received, pathMoves, pathsValidated } = session.ext.stats();
  const { resumed, version } = session.ext.runtime;
  return { version, resumed, early, ecn, ect0Received, pathMoves, pathsValidated };
}

async function serve(options: ProgramOptions): Promise<void> {
  endWithHarness();
  const onStream = async (stream: QuicStream): Promise<void> => {
    if (stream.direction === "uni") return discard(stream);
    if (options.alpn === "doq") return answerQuery(fromQuicStream(stream), pattern);
    if (options.alpn !== "h3") return serveStream(fromQuicStream(stream));
    return answer(fromQuicStream(stream), ({ fields, body }) =>
      fields.get(":method") === "POST" ? new TextEncoder().encode(sha256(body)) : pattern(options.bytes),
    );
  };
  const endpoint = await listen(
    (session) => {
      const updates = options.keyUpdate ? updateWhenOpen(session) : null;
      updates?.catch(() => {}); // a session that fails says so below
      session.onstream = (stream) => {
        const answered = onStream(stream).then(async () => {
          tell({ facts: factsOf(session, stream.early) });
          if (updates !== null) tell({ updated: await updates });
        });
        answered.catch((error: unknown) => tell({ failed: describe(error) }));
      };
      session.closed
        .catch((error: unknown) => tell({ closed: describe(error) }))
        .finally(() => tell({ facts: factsOf(session, false) }));
      session.opened.then(
        async ({ protocol }) => {
          tell({ accepted: { alpn: protocol } });
          if (options.alpn === "h3") await openControlStream(session);
        },
        (error: unknown) => tell({ failed: describe(error) }),
      );
    },
    {
      alpn: [options.alpn],
      sni: { "*": { keys: [readFileSync(options.key)], certs: [readFileSync(options.cert)] } },
      ...common(options),
      endpoint: { address: addressOf(options), validateAddress: options.retry },
    },
  );
  tell({ listening: endpoint.address?.port });
}

/** One connection; with `resume` twice, the second time with the ticket of the first. */
async function runClientCase(options: ProgramOptions): Promise<string> {
  const resumes = options.case === "resumption" || options.case === "zerortt";
  if (!resumes) return runRequest(options);
  let ticket: Uint8Array | undefined;
  await runRequest(options, { onsessionticket: (given) => (ticket = given) }, async () => {
    for (let tries = 0; ticket === undefined && tries < TICKET_TRIES; tries++) {
      await setTimeout(TICKET_PAUSE_MILLIS);
    }
  });
  if (ticket === undefined) throw new Error("the server gave no ticket");
  return runRequest(options, { sessionTicket: ticket });
}

async function runRequest(
  options: ProgramOptions,
  extra: Partial<ConnectOptions> = {},
  beforeClose?: () => Promise<void>,
): Promise<string> {
  const session = await connect(addressOf(options), {
    servername: "localhost",
    alpn: options.alpn,
    ca: [readFileSync(options.ca)],
    enableEarlyData: options.case === "zerortt",
    ...common(options),
    ...extra,
    onstream: (stream: QuicStream) => void discard(stream).catch(() => {}),
  });
  session.closed.catch(() => {}); // a client reports what its request met
  const open = async () => fromQuicStream(await session.createBidirectionalStream());
  // In 0-RTT the request does not wait for the handshake.
  if (extra.sessionTicket === undefined) await session.opened;
  const updates = options.keyUpdate ? updateWhenOpen(session) : null;
  const move = options.migrates ? migrate(session) : null;
  move?.catch(() => {}); // awaited below
  const isH3 = options.alpn === "h3";
  if (isH3) await openControlStream(session);
  let seen = isH3 ? await fetchAll(open, options) : await exchange(open, options);
  if (move !== null) seen += `, moved to port ${(await move).local.port}`;
  if (updates !== null) seen += `, key updates: ${await updates}`;
  const { protocol, cipher, earlyDataAttempted, earlyDataAccepted } = await session.opened;
  tell({ facts: factsOf(session, earlyDataAttempted && earlyDataAccepted) });
  await beforeClose?.();
  if (isH3) {
    session.destroy(undefined, { code: H3_NO_ERROR, type: "application" }); // control streams never end
    await session.closed;
  } else {
    await session.close();
  }
  return `ALPN ${protocol}, ${cipher}, ${seen}`;
}

const options = readOptions();
if (options.role === "server") await serve(options);
else await runClient(() => eachConnection(options, () => runClientCase(options)));
