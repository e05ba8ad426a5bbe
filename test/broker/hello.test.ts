/**
 * ROBUSTNESS B10: who gets a client is read from its ClientHello without TLS; the program's TLS then chooses by itself. Over
 * generated hellos, with unknown extensions in any order, long lists, names twice, broken lists: either TLS chooses a protocol
 * of the program that the host chose, or the handshake fails. `B10_HELLOS=100000` for more of them.
 */

import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { describe, test } from "node:test";
import { Registry } from "#src/broker/registry.js";
import { readClientHello } from "#src/crypto/hello.js";
import { ADDR_COLS } from "#src/port/udp.js";
import type { TlsContext } from "#src/port/tls.js";
import { chooseTls } from "#src/runtime/choose-tls.js";
import { devCertificate } from "#src/runtime/native/x509.js";
import { RawTlsClient } from "../raw/tls-client.js";
import { EXT_ALPN, type Extension, u16, vec } from "../raw/tls-messages.js";

const HELLOS = Number(process.env["B10_HELLOS"] ?? 400);
const PROGRAMS = [["smbd"], ["h3", "h3-29"], ["ksmbd", "x".repeat(30)]];
const NAMES = [...PROGRAMS.flat(), "http/1.1", "H3", "h", "\x0a\x0a"];
/** An initial_source_connection_id of no bytes; TLS does not look inside. */
const PARAMS = Buffer.of(0x0f, 0);
const MESSAGE_HEADER_BYTES = 4;

const tls = chooseTls(process.env);
const { cert, key } = devCertificate({ hosts: ["localhost"] });

interface Program {
  names: readonly string[];
  context: TlsContext;
}

const registry = new Registry<Program>();
for (const names of PROGRAMS) {
  const identities = { "*": { cert, key } };
  const context = tls.newServerContext({ alpn: [...names], identities, clientCertificate: "ignore" });
  const place = { address: "::", port: 443, ipv6Only: false };
  const wanted = { alpn: names, serverNames: [], reusePort: false, retry: false };
  registry.add({ names, context }, 0, place, wanted);
}

function some<T>(list: readonly T[], most: number): T[] {
  return Array.from({ length: randomInt(most + 1) }, () => list[randomInt(list.length)] as T);
}

/** GREASE, unknown extensions, any order, and now and then a second list, a broken one, or none. */
function disturbed(list: readonly Extension[]): Extension[] {
  let extensions = [...list];
  for (let i = randomInt(4); i > 0; i--)
    extensions.push([0x0a0a + 0x1010 * randomInt(15), Buffer.alloc(randomInt(300))]);
  const alpn = extensions.find(([type]) => type === EXT_ALPN) as Extension;
  const kind = randomInt(12);
  if (kind === 0) extensions = extensions.filter((one) => one !== alpn);
  else if (kind === 1)
    extensions.push([EXT_ALPN, vec(2, ...some(NAMES, 3).map((name) => vec(1, Buffer.from(name, "latin1"))))]);
  else if (kind === 2) alpn[1] = Buffer.concat([alpn[1], Buffer.of(0)]);
  else if (kind === 3) alpn[1] = Buffer.concat([u16(randomInt(40)), alpn[1].subarray(2)]);
  else if (kind === 4) alpn[1] = vec(2, vec(1, Buffer.alloc(0)), alpn[1].subarray(2));
  for (let i = extensions.length - 1; i > 0; i--) {
    const j = randomInt(i + 1);
    [extensions[i], extensions[j]] = [extensions[j] as Extension, extensions[i] as Extension];
  }
  return extensions;
}

/** What the program's TLS chose; null when it did not get that far. */
function chosen(client: RawTlsClient, { context }: Program): string | null {
  const session = context.newSession({ transportParams: PARAMS, ticketScope: 1 });
  session.put(0, client.helloBytes);
  try {
    for (let result = session.take(); result !== null; result = session.take()) {
      if (result.kind === "alert") return null;
      if (result.kind === "send") client.receive(result.level, result.bytes);
    }
  } finally {
    session.close();
  }
  return client.alpn;
}

describe("the host's choice and TLS's", () => {
  test(`B10 agree over ${HELLOS} hellos, or the client is closed`, () => {
    const counts = { agreed: 0, refused: 0, nobody: 0 };
    for (let i = 0; i < HELLOS; i++) {
      const offered = [...some(NAMES, 4), NAMES[randomInt(NAMES.length)] as string];
      const client = new RawTlsClient(
        { alpn: offered, serverName: "localhost", params: PARAMS, extensions: disturbed },
        { send() {}, secret() {} },
      );
      client.start();
      const body = client.helloBytes.subarray(MESSAGE_HEADER_BYTES);
      const hello = readClientHello(body, body.length);
      const match = registry.match(443, hello, new Int32Array(ADDR_COLS));
      if (match === null) {
        counts.nobody++;
        continue;
      }
      const protocol = chosen(client, match.owner);
      if (protocol === null) counts.refused++;
      else {
        assert.ok(match.owner.names.includes(protocol), `${protocol} of ${JSON.stringify(hello.alpn)}`);
        counts.agreed++;
      }
    }
    const { agreed, refused, nobody } = counts;
    assert.ok(agreed > HELLOS / 4 && refused > 0 && nobody > 0, JSON.stringify(counts));
  });
});
