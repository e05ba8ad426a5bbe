/** quinn through Deno: `deno run -A --unstable-net deno.mjs OPTIONS`. Deno 2.9 cannot ask for Retry. */

import { readFileSync } from "node:fs";
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

async function serve() {
  endWithHarness();
  const endpoint = new Deno.QuicEndpoint({ hostname: options.host, port: options.port });
  const listener = endpoint.listen({
    cert: readFileSync(options.cert, "utf8"),
    key: readFileSync(options.key, "utf8"),
    alpnProtocols: [options.alpn],
    maxIdleTimeout: options.patienceMillis,
  });
  tell({ listening: endpoint.addr.port });
  for await (const incoming of listener) {
    accept(incoming).catch((error) => tell({ failed: describe(error) }));
  }
}

async function accept(incoming) {
  const conn = await incoming.accept();
  await conn.handshake;
  tell({ accepted: { alpn: conn.protocol } });
  try {
    for await (const stream of conn.incomingBidirectionalStreams) {
      serveStream(fromWebStreams(stream)).catch((error) => tell({ failed: describe(error) }));
    }
  } catch (error) {
    tell({ closed: describe(error) });
  }
}

/** Tickets belong to an endpoint; a case that resumes takes two connections of one. */
async function connect() {
  if (options.case !== "resumption" && options.case !== "zerortt") return connectOnce();
  const endpoint = new Deno.QuicEndpoint({ hostname: options.host.includes(":") ? "::1" : "127.0.0.1", port: 0 });
  if (options.case === "zerortt") await untilSecondIsYoung();
  await connectOnce({ endpoint });
  return connectOnce({ endpoint, zeroRtt: options.case === "zerortt" });
}

/**
 * rustls counts the age of a ticket in whole seconds: where one ends between the two connections, the age is up to a second
 * too large, and GnuTLS refuses the 0-RTT of a ticket that is older at the client than at the server.
 */
async function untilSecondIsYoung() {
  const millis = Date.now() % 1000;
  if (millis > 300) await new Promise((resolve) => setTimeout(resolve, 1000 - millis));
}

async function connectOnce(extra) {
  const conn = await Deno.connectQuic({
    ...extra,
    hostname: options.host,
    port: options.port,
    serverName: "localhost",
    caCerts: [readFileSync(options.ca, "utf8")],
    alpnProtocols: [options.alpn],
    maxIdleTimeout: options.patienceMillis,
  });
  const seen = await exchange(
    async () => fromWebStreams(await conn.createBidirectionalStream({ waitUntilAvailable: true })),
    options,
  );
  const detail = `ALPN ${conn.protocol}, ${seen}`;
  conn.close({ closeCode: 0, reason: "" });
  await conn.closed.catch(() => {});
  return detail;
}

if (options.role === "server") await serve();
else {
  await runClient(() => eachConnection(options, connect));
  Deno.exit(0);
}
