/**
 * A server whose handshakes the agent does: `node program.js AGENT KEY-FILE`. Prints whether it can read the key, where it
 * listens, and how each handshake ended. Ends with its standard input.
 */

import { readFileSync } from "node:fs";
import { listen } from "#src/api/quic/index.js";

const [agent = "", keyFile = ""] = process.argv.slice(2);
const say = (line: string): void => void process.stdout.write(`${line}\n`);

try {
  readFileSync(keyFile);
  say("key readable");
} catch (error) {
  say(`key ${(error as NodeJS.ErrnoException).code}`);
}
const endpoint = await listen(
  (session) => {
    session.closed.catch(() => {});
    session.opened.then(
      () => say("opened"),
      (error: Error & { code: string }) => say(`failed ${error.code} ${error.message}`),
    );
  },
  { alpn: "agent-test", ext: { agent } },
);
say(`listening ${endpoint.address?.address}:${endpoint.address?.port}`);
process.stdin.resume().on("end", () => endpoint.destroy());
