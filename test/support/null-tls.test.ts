import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { LEVEL_APP, LEVEL_HANDSHAKE, type Level, type TlsResult, type TlsSession } from "#src/port/tls.js";
import { Prng } from "#src/sim/prng.js";
import { NullTls, type NullTlsOptions } from "./null-tls.js";
import { ALERT_DECRYPT_ERROR, ALERT_NO_APPLICATION_PROTOCOL, FINISHED } from "./null-tls-messages.js";

const CLIENT_PARAMS = Uint8Array.of(1, 2, 3);
const SERVER_PARAMS = Uint8Array.of(4, 5, 6, 7);

interface Side {
  session: TlsSession;
  results: TlsResult[];
}

function pair(options: Partial<NullTlsOptions> = {}, alpn: [string[], string[]] = [["a", "b"], ["b"]]) {
  const provider = new NullTls({ random: new Prng(1, "tls"), ...options });
  const make = (session: TlsSession): Side => ({ session, results: [] });
  const clients = provider.newClientContext({ alpn: alpn[0], serverName: "host.test", verify: "strict" });
  const servers = provider.newServerContext({ alpn: alpn[1], identities: {} });
  const server = make(servers.newSession({ transportParams: SERVER_PARAMS }));
  const client = make(clients.newSession({ transportParams: CLIENT_PARAMS }));
  return { provider, client, server };
}

/** Moves CRYPTO bytes in pieces until nothing moves. `edit` sees each message that is on its way. */
function shake(client: Side, server: Side, pieceBytes: number, edit: (bytes: Uint8Array) => void = () => {}): void {
  for (let moved = true; moved; ) {
    moved = false;
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      for (let result = from.session.take(); result !== null; result = from.session.take()) {
        from.results.push(result);
        moved = true;
        if (result.kind !== "send") continue;
        edit(result.bytes);
        for (let at = 0; at < result.bytes.length; at += pieceBytes) {
          to.session.put(result.level, result.bytes.subarray(at, at + pieceBytes));
        }
      }
    }
  }
}

function secrets(side: Side, direction: "read" | "write"): Map<Level, string> {
  const found = new Map<Level, string>();
  for (const result of side.results) {
    if (result.kind === "secret" && result.direction === direction) {
      found.set(result.level, Buffer.from(result.secret).toString("hex"));
    }
  }
  return found;
}

function info(side: Side) {
  const done = side.results.find((result) => result.kind === "done");
  assert.ok(done?.kind === "done", "the handshake is complete");
  return done.info;
}

const alertOf = (side: Side) => side.results.find((result) => result.kind === "alert")?.alert;

describe("null TLS", () => {
  const cases: [string, Partial<NullTlsOptions>, number][] = [
    ["plain", {}, 4000],
    ["one byte at a time", {}, 1],
    ["HelloRetryRequest", { helloRetry: true }, 100],
    ["large certificate", { certificateBytes: 60_000 }, 1100],
    ["client authentication", { clientAuth: true, certificateBytes: 3000 }, 1100],
    ["large ClientHello", { keyShareBytes: 1800 }, 500],
  ];
  for (const [name, options, pieceBytes] of cases) {
    test(`completes with equal secrets and the peer's parameters: ${name}`, () => {
      const { client, server } = pair(options);
      shake(client, server, pieceBytes);
      assert.equal(info(client).alpn, "b");
      assert.equal(info(server).alpn, "b");
      assert.equal(info(server).serverName, "host.test");
      assert.equal(info(server).peerCertificates.length, options.clientAuth === true ? 1 : 0);
      assert.deepEqual(secrets(client, "read"), secrets(server, "write"));
      assert.deepEqual(secrets(client, "write"), secrets(server, "read"));
      assert.deepEqual([...secrets(client, "read").keys()], [LEVEL_HANDSHAKE, LEVEL_APP]);
      assert.equal(new Set([...secrets(client, "read").values(), ...secrets(client, "write").values()]).size, 4);
      const params = (side: Side) => side.results.filter((result) => result.kind === "peer-params").at(-1)?.bytes;
      assert.deepEqual(params(client), SERVER_PARAMS);
      assert.deepEqual(params(server), CLIENT_PARAMS);
    });
  }

  test("RFC 9001 §4.6.1 tickets come at the 1-RTT level", () => {
    const { client, server } = pair({ tickets: 2 });
    shake(client, server, 50);
    assert.equal(client.results.filter((result) => result.kind === "ticket").length, 2);
  });

  test("a changed byte ends in an alert", () => {
    const { client, server } = pair();
    shake(client, server, 1000, (bytes) => {
      if (bytes[0] === 11) bytes[300] ^= 1;
    });
    assert.equal(alertOf(client), ALERT_DECRYPT_ERROR);
  });

  test("RFC 9001 §8.1 no common protocol is alert 120", () => {
    const { client, server } = pair({}, [["x"], ["y"]]);
    shake(client, server, 1000);
    assert.equal(alertOf(server), ALERT_NO_APPLICATION_PROTOCOL);
  });

  test("fails on the message and with the alert that it was told", () => {
    const { client, server } = pair({ failOn: FINISHED, failAlert: 80 });
    shake(client, server, 1000);
    assert.equal(alertOf(client), 80);
  });

  test("results that come later are announced, in order, and never after close", () => {
    const steps: (() => void)[] = [];
    const { client, server, provider } = pair({ later: (step) => steps.push(step) });
    let announced = 0;
    client.session.onResults = () => announced++;
    assert.equal(client.session.take(), null);
    for (let step = steps.shift(); step !== undefined; step = steps.shift()) {
      step();
      shake(client, server, 200);
    }
    assert.equal(info(client).alpn, "b");
    assert.equal(info(server).alpn, "b");
    assert.ok(announced > 3, `${announced}`);
    client.session.put(LEVEL_APP, Uint8Array.of(4, 0, 0, 0));
    client.session.close();
    announced = 0;
    steps.shift()?.();
    assert.equal(announced, 0);
    assert.equal(provider.liveSessions, 1);
  });
});
