/** The same echo over node:http2 on TLS and TCP: what most servers in Node would do today. */

import { type ClientHttp2Session, connect, createSecureServer } from "node:http2";
import { devCertificate } from "#src/runtime/native/x509.js";
import { tell } from "./child.js";
import type { Target } from "./loopback.js";
import { ownRequestsJob } from "./requests-job.js";

const job = ownRequestsJob(request);
const payload = Buffer.alloc(job.payloadBytes, "a");
let session: ClientHttp2Session | null = null;

function request(): Promise<number> {
  return new Promise((resolve, reject) => {
    const stream = (session as ClientHttp2Session).request({ ":method": "POST", ":path": "/" });
    let bytes = 0;
    stream.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
    });
    stream.on("error", reject);
    stream.on("end", () => resolve(bytes));
    stream.end(payload);
  });
}

function serve(): void {
  const { cert, key } = devCertificate({ hosts: ["localhost"] });
  const server = createSecureServer({
    cert,
    key,
    minVersion: "TLSv1.3",
    ciphers: "TLS_AES_128_GCM_SHA256",
    settings: { maxConcurrentStreams: Math.max(100, 2 * job.inFlight) },
  });
  server.on("stream", (stream) => {
    stream.on("error", () => {});
    stream.respond({ ":status": 200 });
    stream.pipe(stream);
  });
  server.listen(0, "127.0.0.1", () => tell({ port: (server.address() as { port: number }).port, ca: cert }));
}

if (job.role === "server") serve();
else {
  const { port, ca } = job.server as Target;
  session = connect(`https://127.0.0.1:${port}`, { ca, servername: "localhost" });
  session.once("connect", () => tell(null));
}
