/** lsquic through bun's own node:quic: `bun bun.mjs OPTIONS`. */

import { createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { connect, listen } from "node:quic";
import {
  addressOf,
  describe,
  eachConnection,
  endWithHarness,
  exchange,
  readOptions,
  runClient,
  serveStream,
  tell,
} from "../../../dist-test/interop/protocol.js";

const options = readOptions();
/** Of its own accord bun gives up after ten seconds of silence. A server of its takes no handshakeTimeout above ten seconds. */
const transportParams = { maxIdleTimeout: options.patienceMillis / 1000 };

/** The writer takes bytes while it has room; then it is asked again, as bun has no event for it. */
function fromQuicStream(stream) {
  const { writer } = stream;
  return {
    read: flatten(stream),
    async write(bytes) {
      while (!writer.writeSync(bytes)) await new Promise((resolve) => setTimeout(resolve, 1));
    },
    async end() {
      writer.endSync();
    },
  };
}

async function* flatten(stream) {
  for await (const batch of stream) {
    if (batch instanceof Uint8Array) yield batch;
    else yield* batch;
  }
}

async function serve() {
  endWithHarness();
  const endpoint = await listen(
    (session) => {
      session.opened.then(
        (info) => tell({ accepted: { alpn: info.protocol } }),
        (error) => tell({ failed: describe(error) }),
      );
      session.closed.catch((error) => tell({ closed: describe(error) }));
      session.onstream = (stream) => {
        stream.closed.catch(() => {});
        serveStream(fromQuicStream(stream)).catch((error) => tell({ failed: describe(error) }));
      };
    },
    {
      sni: { "*": { keys: [createPrivateKey(readFileSync(options.key))], certs: [readFileSync(options.cert)] } },
      alpn: [options.alpn],
      transportParams,
      endpoint: { address: addressOf(options), validateAddress: options.retry },
    },
  );
  tell({ listening: endpoint.address.port });
}

/** With a case that resumes, a first connection for its ticket. */
async function request() {
  if (options.case !== "resumption" && options.case !== "zerortt") return requestOnce({});
  const { promise, resolve } = Promise.withResolvers();
  await requestOnce({ onsessionticket: resolve }, promise);
  return requestOnce({ sessionTicket: await promise });
}

async function requestOnce(extra, until) {
  const session = await connect(addressOf(options), {
    servername: "localhost",
    alpn: options.alpn,
    handshakeTimeout: options.patienceMillis,
    transportParams,
    endpoint: { address: options.host.includes(":") ? "[::1]:0" : "127.0.0.1:0" },
    ca: [readFileSync(options.ca)],
    ...extra,
  });
  session.closed.catch(() => {});
  if (options.case !== "zerortt") await session.opened;
  const seen = await exchange(async () => {
    const stream = await session.createBidirectionalStream();
    stream.closed.catch(() => {});
    return fromQuicStream(stream);
  }, options);
  const info = await session.opened;
  await until;
  await session.close();
  return `ALPN ${info.protocol}, ${info.cipher}, ${seen}`;
}

if (options.role === "server") await serve();
else {
  await runClient(() => eachConnection(options, request));
  process.exit(0);
}
