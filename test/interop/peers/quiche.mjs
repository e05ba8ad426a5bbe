/**
 * quiche through `@matrixai/quic`: `node quiche.mjs MODULE OPTIONS`, where MODULE is the installed package's entry file. Its
 * server answers every first Initial with a Retry.
 */

import { createHmac, randomFillSync, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import {
  describe,
  eachConnection,
  endWithHarness,
  exchange,
  fromWebStreams,
  readOptions,
  runClient,
  serveStream,
  tell,
} from "../../../dist-test/interop/protocol.js";

const options = readOptions();
const STREAMS_AT_ONCE = 50;
const CLOSE_LIMIT_MILLIS = 2000;
const PAUSE_MILLIS = 2;
const { events, QUICClient, QUICServer } = await import(pathToFileURL(process.argv[2]).href);

/**
 * Last bytes and FIN leave in one frame. The API gives FIN a frame of its own, and quiche 0.18 takes a stream for complete once
 * its bytes are acknowledged: such a frame that is lost is never sent again, and the other side waits for good.
 */
function fromQuicStream(stream) {
  const web = fromWebStreams(stream);
  let held = null;
  return {
    read: web.read,
    async write(bytes) {
      if (held !== null) await web.write(held);
      held = bytes;
    },
    async end() {
      let rest = held ?? new Uint8Array(0);
      for (;;) {
        const taken = stream.connection.conn.streamSend(stream.streamId, rest, true) ?? 0;
        rest = rest.subarray(taken);
        if (rest.length === 0) return web.end();
        stream.dispatchEvent(new events.EventQUICStreamSend());
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MILLIS));
      }
    },
  };
}

const toArrayBuffer = (buffer) => buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength);
const sign = (key, data) => createHmac("sha256", Buffer.from(key)).update(Buffer.from(data)).digest();

async function serve() {
  endWithHarness();
  const key = toArrayBuffer(randomFillSync(Buffer.alloc(32)));
  const server = new QUICServer({
    crypto: {
      key,
      ops: {
        sign: async (secret, data) => toArrayBuffer(sign(secret, data)),
        verify: async (secret, data, signature) => timingSafeEqual(sign(secret, data), Buffer.from(signature)),
      },
    },
    config: {
      key: readFileSync(options.key, "utf8"),
      cert: readFileSync(options.cert, "utf8"),
      verifyPeer: false,
      applicationProtos: [options.alpn],
      maxIdleTimeout: options.patienceMillis,
    },
  });
  server.addEventListener(events.EventQUICServerConnection.name, ({ detail: conn }) => {
    tell({ accepted: { alpn: options.alpn } });
    conn.addEventListener(events.EventQUICConnectionStream.name, ({ detail: stream }) => {
      serveStream(fromQuicStream(stream)).catch((error) => tell({ failed: describe(error) }));
    });
  });
  server.addEventListener(events.EventQUICServerError.name, ({ detail }) => tell({ closed: describe(detail) }));
  await server.start({ host: options.host, port: options.port });
  tell({ listening: server.port });
}

async function connect() {
  const client = await QUICClient.createQUICClient(
    {
      host: options.host,
      port: options.port,
      serverName: "localhost",
      localHost: options.host,
      crypto: { ops: { randomBytes: async (data) => void randomFillSync(Buffer.from(data)) } },
      config: {
        ca: readFileSync(options.ca, "utf8"),
        verifyPeer: true,
        applicationProtos: [options.alpn],
        maxIdleTimeout: options.patienceMillis,
      },
    },
    { timer: options.patienceMillis },
  );
  const seen = await exchange(async () => fromQuicStream(await newStream(client)), options, STREAMS_AT_ONCE);
  await Promise.race([
    client.destroy({ isApp: true, errorCode: 0, force: true }), // may wait for what was lost
    new Promise((resolve) => setTimeout(resolve, CLOSE_LIMIT_MILLIS)),
  ]);
  return `ALPN ${options.alpn}, ${seen}`;
}

/** A stream as soon as MAX_STREAMS allows it: a call above the limit takes the id and throws. */
async function newStream({ connection }) {
  while (connection.conn.peerStreamsLeftBidi() === 0) {
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MILLIS));
  }
  return connection.newStream("bidi");
}

if (options.role === "server") await serve();
else {
  await runClient(() => eachConnection(options, connect));
  process.exit(0);
}
