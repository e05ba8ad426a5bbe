/**
 * A server of its own process: `program.js OPTIONS`, a JSON text. It gets its clients from a host, sends back what they send
 * with its name before it, and prints `ready PORT` or `failed CODE`.
 */

import { listen, type ListenOptions, type QuicSession } from "#src/api/quic/index.js";
import { readAll } from "../api/support.js";

export interface ProgramOptions {
  host: string;
  name: string;
  address: string;
  certs: string;
  keys: string;
  preferred?: ListenOptions["transportParams"];
  reusePort?: boolean;
  /** Takes streams and never reads them. */
  idle?: boolean;
}

const options = JSON.parse(process.argv[2] ?? "{}") as ProgramOptions;
const { host, name, address, certs, keys, preferred = {}, reusePort = false, idle = false } = options;

function onSession(session: QuicSession): void {
  session.onstream = async (stream) => {
    if (idle) return;
    const got = await readAll(stream);
    await stream.writer.write(Buffer.concat([Buffer.from(`${name}:`), got]));
    await stream.writer.end();
  };
}

try {
  const endpoint = await listen(onSession, {
    alpn: [name],
    sni: { "*": { keys, certs } },
    endpoint: { address, reusePort },
    transportParams: preferred,
    ext: { host },
  });
  console.log(`ready ${endpoint.address?.port}`);
} catch (error) {
  console.log(`failed ${(error as { code?: string }).code}`);
}
