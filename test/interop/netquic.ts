/**
 * Our side of every cell, over the public API of the package and nothing else. With ALPN `h3` it speaks HTTP/3 through the
 * shim, until the package does.
 */

import { readFileSync } from "node:fs";
import { connect, listen, type QuicSession, type QuicStream } from "#src/api/quic/index.js";
import { answer, controlStreamStart, request } from "./h3-shim/h3.js";
import {
  describe,
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

async function serve(options: ProgramOptions): Promise<void> {
  endWithHarness();
  const onStream = async (stream: QuicStream): Promise<void> => {
    if (stream.direction === "uni") return discard(stream);
    if (options.alpn !== "h3") return serveStream(fromQuicStream(stream));
    return answer(fromQuicStream(stream), ({ fields, body }) =>
      fields.get(":method") === "POST" ? new TextEncoder().encode(sha256(body)) : pattern(options.bytes),
    );
  };
  const endpoint = await listen(
    (session) => {
      session.onstream = (stream) => {
        onStream(stream).catch((error: unknown) => tell({ failed: describe(error) }));
      };
      session.closed.catch((error: unknown) => tell({ closed: describe(error) }));
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
      endpoint: { address: `${options.host}:${options.port}`, validateAddress: options.retry },
    },
  );
  tell({ listening: endpoint.address?.port });
}

async function runRequest(options: ProgramOptions): Promise<string> {
  const session = await connect(`${options.host}:${options.port}`, {
    servername: "localhost",
    alpn: options.alpn,
    ca: [readFileSync(options.ca)],
    onstream: (stream: QuicStream) => void discard(stream).catch(() => {}),
  });
  session.closed.catch(() => {}); // a client reports what its request met
  const { protocol, cipher } = await session.opened;
  const open = async () => fromQuicStream(await session.createBidirectionalStream());
  let seen: string;
  if (options.alpn === "h3") {
    await openControlStream(session);
    const { body } = await request(await open(), "GET", "/body", null);
    if (sha256(body) !== sha256(pattern(options.bytes))) throw new Error(`GET: ${body.length} bytes, wrong checksum`);
    seen = `${body.length} bytes down, SHA-256 equal`;
  } else {
    seen = await exchange(open, options);
  }
  if (options.alpn === "h3") {
    session.destroy(undefined, { code: H3_NO_ERROR, type: "application" }); // control streams never end
    await session.closed;
  } else {
    await session.close();
  }
  return `ALPN ${protocol}, ${cipher}, ${seen}`;
}

const options = readOptions();
if (options.role === "server") await serve(options);
else await runClient(() => runRequest(options));
