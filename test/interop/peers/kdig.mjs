/**
 * kdig of Debian's package knot-dnsutils: a client of DNS over QUIC (RFC 9250) with ngtcp2 and GnuTLS inside. It trusts our
 * authority by `+tls-ca`, and prints the TXT records that our program answers with: `node kdig.mjs OPTIONS`.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { eachConnection, pattern, readOptions, runClient } from "../../../dist-test/interop/protocol.js";

const options = readOptions();
/** kdig has a bound on silence only, in seconds; then it tries again, which is a connection of its own. */
const SILENCE_SECONDS = Math.ceil(options.patienceMillis / 1000);
/** DNS messages have 65,535 bytes at most. */
const MAX_BYTES = 29_000;

const children = new Set();
process.on("exit", () => {
  for (const child of children) child.kill("SIGKILL");
});

async function query() {
  const count = Math.min(options.bytes, MAX_BYTES);
  const queries = Array.from({ length: options.streams }, () => ["-q", `${count}.interop.`, "-t", "TXT"]).flat();
  const child = spawn(
    "kdig",
    [
      `@${options.host}`,
      ...["-p", String(options.port)],
      ...[`+tls-ca=${options.ca}`, "+tls-hostname=localhost", "+tls-sni=localhost", "+quic"], // what is last holds
      ...[`+timeout=${SILENCE_SECONDS}`, "+retry=0", "+short", "+bufsize=65535", "+noidn", "+nopadding"],
      ...(options.streams > 1 ? ["+keepopen"] : []),
      ...queries,
    ],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  let out = "";
  child.stdout.setEncoding("utf8").on("data", (text) => (out += text));
  child.stderr.setEncoding("utf8").on("data", (text) => (out += text));
  children.add(child);
  const [code] = await once(child, "close");
  children.delete(child);
  const said = out.trim();
  if (code !== 0 || /^;; (?:WARNING|ERROR)/m.test(said))
    throw new Error(`kdig ended with ${code}: ${said.slice(-300)}`);
  const hex = said.replaceAll(/[^0-9a-f]/g, "");
  const wanted = Buffer.from(pattern(count)).toString("hex").repeat(options.streams);
  if (hex !== wanted)
    throw new Error(`kdig printed ${hex.length} digits of ${wanted.length}, or others: ${said.slice(0, 200)}`);
  return `ALPN doq, ${options.streams} answers of ${count} bytes, equal`;
}

await runClient(() => eachConnection(options, query));
process.exit(0);
