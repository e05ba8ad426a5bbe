import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, beforeEach, describe, test } from "node:test";
import type { TlsIdentity } from "../port/tls.js";
import { chooseTls } from "../runtime/choose-tls.js";
import { makeList } from "../runtime/native/crl-make.contract.js";
import { devCertificate } from "../runtime/native/x509.js";
import { readAgentConfig } from "./config-file.js";

const provider = chooseTls(process.env);
const own = identity("localhost");
const other = identity("other.test");
const dir = mkdtempSync(join(tmpdir(), "agent-config-"));
const at = (name: string): string => join(dir, name);
const write = (name: string, text: string): void => writeFileSync(at(name), text);
const read = (text: string) => {
  write("config", text);
  return readAgentConfig(at("config"), provider);
};

function identity(host: string): TlsIdentity {
  const { cert, key } = devCertificate({ hosts: [host] });
  return { cert, key };
}

const POST_QUANTUM = "x509.pq.certificate = other.pem\nx509.pq.private_key = other.key\n";
const SERVER = "[authenticate.server]\nx509.certificate = cert.pem\nx509.private_key = key.pem\n";

describe("the configuration of an agent", () => {
  after(() => rmSync(dir, { recursive: true }));
  beforeEach(() => {
    rmSync(at("tags.d"), { recursive: true, force: true });
    write("cert.pem", own.cert);
    write("key.pem", own.key);
    write("other.pem", other.cert);
    write("other.key", other.key);
    write("psk", "alice:00112233445566778899aabbccddeeff\n");
  });

  test("that of tlshd is read as it is", async () => {
    const { settings, logLevel } = await read(`
[debug]
loglevel=1
tls=0
nl=0
[authenticate]
#keyrings= <keyring>;<keyring>
keyrings= quic
[authenticate.client]
x509.truststore= ${at("cert.pem")}
#x509.certificate= <pathname>
x509.private_key=
${SERVER}`);
    assert.equal(logLevel, "info");
    assert.deepEqual(settings.client, { identities: {}, ca: [own.cert.trim()] });
    assert.deepEqual(settings.server, { identities: { "*": own } });
    assert.equal(settings.handshakeMillis, 30_000);
  });

  test("revocation lists are read for each role", async () => {
    const list = makeList({ issued: own.cert, key: own.key });
    write("crl.pem", list);
    const { settings } = await read(
      "[authenticate.client]\nx509.crl = crl.pem\n[authenticate.server]\nx509.crl = crl.pem",
    );
    assert.deepEqual([settings.client.crl, settings.server.crl], [[list], [list]]);
  });

  test("names have certificates of their own, and pre-shared keys are read", async () => {
    const { settings } = await read(`${SERVER}psk = psk
[authenticate.server  Other.TEST]
x509.certificate = other.pem
x509.private_key = other.key
[agent]
handshake_timeout = 5`);
    assert.deepEqual(settings.server.identities, { "*": own, "other.test": other });
    assert.deepEqual(
      settings.server.psk?.map(({ identity }) => identity),
      ["alice"],
    );
    assert.equal(settings.handshakeMillis, 5000);
  });

  test("a tags.d that cannot be read is an error: peers would lose their tags without a word", async () => {
    write("tags.d", "no folder");
    await assert.rejects(read(SERVER), { code: "ENOTDIR" });
  });

  test("tags are those of all files in tags.d, by name", async () => {
    mkdirSync(at("tags.d"));
    const tag = (name: string) =>
      JSON.stringify({ filters: { f: { field: "subject", pattern: "*" } }, tags: { [name]: ["f"] } });
    write("tags.d/2.json", tag("second"));
    write("tags.d/1.json", tag("first"));
    write("tags.d/readme", "not read");
    const { settings } = await read(SERVER);
    assert.deepEqual(
      settings.tags.map(({ tag: name }) => name),
      ["first", "second"],
    );
    write("tags.d/3.json", "{");
    await assert.rejects(read(SERVER), /3\.json: /);
  });

  test("what is wrong is told with its file and line", async () => {
    write("rubbish", "rubbish");
    write("cut", makeList({ issued: own.cert, key: own.key }).slice(0, 150));
    for (const [text, words] of [
      ["x = 1", /config: line 1 stands before the first \[section\]/],
      ["[debug]\nloglevel", /config: line 2 is neither/],
      ["[debug]\nloglevel = high", /line 2: loglevel is a number of 0 to 9/],
      ["[debug]\nloglevel=1\nloglevel=2", /line 3: loglevel is there twice/],
      ["[agent]\nhandshake_timeout = 31", /handshake_timeout is a number of 1 to 30/],
      ["[agent]\nhandshake_timeout = 0", /handshake_timeout is a number of 1 to 30/],
      [
        "[authenticate.server]\nx509.certificat = a",
        /line 2: x509\.certificat in \[authenticate\.server\] is not known/,
      ],
      [
        "[authenticate.client]\nx509.pq.certificate = cert.pem",
        /\[authenticate\.client\] has no x509\.pq\.private_key/,
      ],
      ["[authenticate.client]\nx509.pq.private_key = key.pem", /\[authenticate\.client\] has no x509\.pq\.certificate/],
      [`[authenticate.server]\n${POST_QUANTUM}`, /has no x509\.certificate beside x509\.pq\.certificate/],
      [
        SERVER + POST_QUANTUM,
        provider.name === "openssl"
          ? /its key is not one of ML-DSA/
          : /\[authenticate\.server\]: .*GnuTLS has no ML-DSA/,
      ],
      ["[authenticate.client other.test]\nx509.certificate = a", /is not known/],
      ["[authenticate.server]\nx509.certificate = cert.pem", /has no x509\.private_key/],
      ["[authenticate.server]\nx509.private_key = key.pem", /has no x509\.certificate/],
      ["[authenticate.server]\nx509.crl = missing", /line 2: x509\.crl: ENOENT/],
      ["[authenticate.server]\nx509.crl = rubbish", /rubbish: there is no revocation list/],
      ["[authenticate.server]\nx509.crl = cut", /\[authenticate\.server\]: .*\{crl\}/],
      ["[authenticate.client]\nx509.truststore = cert.pem\nx509.crl = cut", /\[authenticate\.client\]: .*\{crl\}/],
      ["[authenticate.server]\npsk = missing", /line 2: psk: ENOENT/],
      ["[authenticate.server]\npsk = rubbish", /rubbish: line 1 is not identity:hexkey/],
      ["[authenticate.client]\nx509.truststore = rubbish", /rubbish: there is no certificate/],
      [SERVER.replace("key.pem", "other.key"), /\[authenticate\.server\]: /],
      [SERVER.replace("key.pem", "rubbish"), /\[authenticate\.server\]: /],
    ] as const) {
      await assert.rejects(read(text), words, text);
    }
    await assert.rejects(readAgentConfig(at("missing"), provider), /ENOENT/);
  });

  test("a file of 4 MiB is read, a larger one is not", async () => {
    write("psk", `alice:00112233445566778899aabbccddeeff\n${"\n".repeat(4 * 2 ** 20 - 39)}`);
    await read("[authenticate.server]\npsk = psk");
    write("psk", "\n".repeat(4 * 2 ** 20 + 1));
    await assert.rejects(read("[authenticate.server]\npsk = psk"), /has more than 4194304 bytes/);
  });
});
