/** Ticket keys by time, secret and scope. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { MAX_TICKET_USES, TICKET_KEY_SECONDS } from "../../proto/limits.js";
import { nativeTlsProvider } from "./tls-session.js";
import { opensslMissing } from "./tls-openssl.js";
import { Pair } from "./tls-pair.contract.js";
import { TicketKeys } from "./ticket-keys.js";
import { devCertificate } from "./x509.js";

const SECRET = new Uint8Array(32).fill(1);
const OPENSSL_BYTES = 80;

describe("ticket keys", () => {
  const keysAt = (epoch: number, secret = SECRET, scope = 1): Uint8Array =>
    new TicketKeys("openssl", secret, () => epoch * TICKET_KEY_SECONDS).of(scope);

  test("are those of the secret: the newest first, then the one before and the one to come", () => {
    const keys = keysAt(100);
    assert.equal(keys.length, 3 * OPENSSL_BYTES);
    const at = (bytes: Uint8Array, index: number) => bytes.slice(index * OPENSSL_BYTES, (index + 1) * OPENSSL_BYTES);
    assert.deepEqual(at(keysAt(101), 1), at(keys, 0));
    assert.deepEqual(at(keysAt(101), 0), at(keys, 2));
    assert.notDeepEqual(at(keysAt(100, new Uint8Array(32)), 0), at(keys, 0));
    assert.notDeepEqual(at(keysAt(100, SECRET, 2), 0), at(keys, 0));
  });

  test("of OpenSSL change with time, GnuTLS changes its own", () => {
    let now = 10 * TICKET_KEY_SECONDS - 1;
    const openssl = new TicketKeys("openssl", SECRET, () => now);
    const gnutls = new TicketKeys("gnutls", SECRET, () => now);
    const before = [openssl.of(1), gnutls.of(1)];
    assert.equal(openssl.of(1), before[0]);
    now++;
    assert.notDeepEqual(openssl.of(1), before[0]);
    assert.equal(gnutls.of(1), before[1]);
    assert.equal(gnutls.of(1).length, 64);
  });

  test("T27 are others for another server name or protocol, and for nobody", () => {
    for (const library of ["openssl", "gnutls"] as const) {
      const keys = new TicketKeys(library, SECRET, () => 0);
      const all = ["a.test", "b.test"].flatMap((serverName) =>
        ["h3", "h3-29"].map((alpn) => keys.of(1, { serverName, alpn })),
      );
      const texts = [...all, keys.of(1), keys.of(2), keys.once(), keys.once()].map((each) =>
        Buffer.from(each).toString("hex"),
      );
      assert.equal(new Set(texts).size, texts.length);
    }
  });

  test("are kept for MAX_TICKET_USES names, and the same when they are made anew", () => {
    const keys = new TicketKeys("openssl", SECRET, () => 0);
    const of = (index: number): Uint8Array => keys.of(1, { serverName: `${index}.test`, alpn: "h3" });
    const first = of(0);
    for (let i = 1; i < MAX_TICKET_USES; i++) of(i);
    assert.equal(of(0), first);
    of(MAX_TICKET_USES);
    assert.notEqual(of(0), first);
    assert.deepEqual(of(0), first);
  });

  const without = opensslMissing();
  if (without === "") {
    test("a ticket resumes in the time of its key and of the next one, at any server of the secret", async () => {
      const identity = devCertificate({ hosts: ["localhost"] });
      let now = 1000 * TICKET_KEY_SECONDS + 5;
      const provider = nativeTlsProvider("openssl", () => now);
      const server = () =>
        provider.newServerContext({ alpn: ["h3"], identities: { "*": identity }, ticketSecret: SECRET });
      const config = { alpn: ["h3"], serverName: "localhost", verify: "strict", ca: [identity.cert] } as const;
      const client = provider.newClientContext({ ...config, alpn: ["h3"], ca: [identity.cert] });
      const first = server();
      const params = { transportParams: new Uint8Array(4) };
      const pair = new Pair(client.newSession(params), first.newSession(params));
      await pair.handshake(1);
      const ticket = pair.client.of("ticket")[0].bytes;
      const resumes = async (context: typeof first): Promise<boolean> => {
        const again = new Pair(client.newSession({ ...params, ticket }), context.newSession(params));
        return (await again.handshake()).client.resumed;
      };
      assert.equal(await resumes(server()), true);
      now += TICKET_KEY_SECONDS;
      assert.equal(await resumes(first), true, "the key before");
      assert.equal(await resumes(server()), true);
      now -= 2 * TICKET_KEY_SECONDS;
      assert.equal(await resumes(server()), true, "a clock that is behind");
      now += 3 * TICKET_KEY_SECONDS;
      assert.equal(await resumes(first), false);
    });
  }
});
