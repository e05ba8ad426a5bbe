/** `quic agent` as a process of its own, and programs that have their handshakes done by it. */

import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { existsSync, readFileSync, renameSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { agentTls } from "#src/agent/provider.js";
import { connect, listen, type QuicSession } from "#src/api/quic/index.js";
import * as quic from "#src/api/socket/index.js";
import { makeList } from "#src/runtime/native/crl-make.contract.js";
import { chooseTls } from "#src/runtime/choose-tls.js";
import { type Certificate, makeCertificate } from "#src/runtime/native/x509.js";
import {
  addressOf,
  ALPN,
  content,
  echo,
  issue,
  quicError,
  readAll,
  testCa,
  testLeaf,
  withBench,
} from "../api/support.js";
import { until } from "../cli/run-quic.js";
import { config, connecting, echoes, hasCode, HOST, listening, live, outcomes, portOf } from "../socket/live.js";
import { AgentFolder, type AgentProcess, testAgent } from "./support.js";

const OFF = { ext: { agent: "off" } };
const SERVER = "[authenticate.server]\nx509.certificate = cert.pem\nx509.private_key = key.pem\n";
const CLIENT = "[authenticate.client]\nx509.truststore = ca.pem\n";
const FILES = { "ca.pem": testCa().cert, "cert.pem": testLeaf().cert, "key.pem": testLeaf().key };

/** Runs `work` with NETQUIC_AGENT. */
async function byAgent<T>(path: string, work: () => Promise<T>): Promise<T> {
  process.env["NETQUIC_AGENT"] = path;
  try {
    return await work();
  } finally {
    delete process.env["NETQUIC_AGENT"];
  }
}

const NOTHING_OF_OURS = {
  alpn: "sample",
  clientHandshake: (sd: number) => quic.quic_client_handshake(sd, null, "localhost"),
  serverHandshake: (sd: number) => quic.quic_server_handshake(sd, {}),
};

/** A UDP port where nobody answers; `asked` is fulfilled when something has come. */
async function silence(work: (port: number, asked: Promise<unknown>) => Promise<void>): Promise<void> {
  const socket = createSocket("udp4").bind(0, HOST);
  await once(socket, "listening");
  try {
    await work(socket.address().port, once(socket, "message"));
  } finally {
    socket.close();
  }
}

describe("quic agent", () => {
  const folder = new AgentFolder(FILES);
  let agent: AgentProcess;

  before(async () => {
    agent = await folder.start(SERVER + CLIENT);
  });
  after(() => folder.remove());

  for (const [who, server, client] of [
    ["both", "agent", "agent"],
    ["the server", "agent", "off"],
    ["the client", "off", "agent"],
  ] as const) {
    test(
      `connect and listen: the agent has what ${who} need, and bytes travel`,
      withBench(async (bench) => {
        const at = (where: "agent" | "off") => ({ ext: { agent: where === "agent" ? agent.path : "off" } });
        const { cert, key } = testLeaf();
        const own = server === "off" ? { keys: key, certs: cert } : at("agent");
        const trust = client === "off" ? { ca: testCa().cert, ...OFF } : { ca: undefined as never, ...at("agent") };
        const pair = await bench.pair(own, trust, echo);
        assert.equal(pair.client.ext.runtime.tls === "agent", client === "agent");
        assert.equal(pair.server.ext.runtime.tls === "agent", server === "agent");
        const stream = await pair.client.createBidirectionalStream();
        const bytes = content(300_000);
        await stream.writer.write(bytes);
        await stream.writer.end();
        assert.ok((await readAll(stream)).equals(bytes));
      }),
    );
  }

  test("netquic/socket: both sides without a file of their own", () =>
    byAgent(agent.path, () => live(NOTHING_OF_OURS, async (both) => assert.ok(await echoes(both, "by the agent")))));

  test("who brings a key does its handshake itself, whatever NETQUIC_AGENT says, and cannot ask for both", () =>
    byAgent(`${agent.path}.none`, async () => {
      await withBench(async (bench) => {
        const { cert: certs, key: keys } = testLeaf();
        const { client } = await bench.pair({ certs, keys }, OFF);
        assert.notEqual(client.ext.runtime.tls, "agent");
      })();
      await assert.rejects(
        listen(() => {}, { alpn: ALPN, certs: testLeaf().cert, keys: testLeaf().key, ext: { agent: agent.path } }),
        { code: "ERR_INVALID_ARG_VALUE", message: /ext\.agent.*keys and certs/ },
      );
    }));

  test("resumption and 0-RTT work, across a reload, and each ticket is taken once", async () => {
    const endpoint = await listen(echo, { alpn: ALPN, ext: { agent: agent.path } });
    const visit = async (sessionTicket?: Buffer) => {
      const tickets: Buffer[] = [];
      const session = await connect(addressOf(endpoint), {
        alpn: ALPN,
        ext: { agent: agent.path },
        ...(sessionTicket !== undefined && { sessionTicket }),
        onsessionticket: (ticket) => tickets.push(ticket as Buffer),
      });
      const stream = await session.createBidirectionalStream();
      await stream.writer.write(Buffer.from("early"));
      await stream.writer.end();
      const info = await session.opened;
      assert.equal(String(await readAll(stream)), "early");
      await until(() => tickets.length > 0);
      session.destroy();
      return { info, resumed: session.ext.runtime.resumed, ticket: tickets[0] as Buffer };
    };
    const first = await visit();
    assert.equal(first.resumed, false);
    const second = await visit(first.ticket);
    assert.deepEqual([second.resumed, second.info.earlyDataAccepted], [true, true]);
    const replay = await visit(first.ticket);
    assert.equal(replay.info.earlyDataAccepted, false);
    assert.match(await agent.reload(), /is read again/);
    const third = await visit(second.ticket);
    assert.equal(third.resumed, true);
    const fourth = await visit(third.ticket);
    assert.deepEqual([fourth.resumed, fourth.info.earlyDataAccepted], [true, true]);
    endpoint.destroy();
    await endpoint.closed;
  });

  test("certificates by server name", async () => {
    const other = issue(["other.test"]);
    folder.write({ "other.pem": other.cert, "other.key": other.key });
    const named = `${SERVER}[authenticate.server other.test]\nx509.certificate = other.pem\nx509.private_key = other.key\n`;
    const { path, kill } = await folder.start(named);
    await withBench(async (bench) => {
      const endpoint = await bench.serve(() => {}, { ext: { agent: path } });
      for (const servername of ["localhost", "other.test"]) {
        const session = await bench.connect(endpoint, { servername, ...OFF });
        await session.opened;
      }
      const wrong = await bench.connect(endpoint, { servername: "third.test", ...OFF });
      assert.equal((await quicError(wrong.opened)).alert, 42);
    })();
    await kill("SIGTERM");
  });

  // the agent of another Node may have GnuTLS
  if (chooseTls(process.env).name === "openssl" && process.env["NETQUIC_PEER_NODE"] === undefined) {
    test("x509.pq.*: who can verify ML-DSA is shown that certificate", async () => {
      const config = `${SERVER}x509.pq.certificate = pq.pem\nx509.pq.private_key = pq.key\n`;
      const hosts = ["localhost"];
      const [issuerCertPem, issuerKeyPem] = [testCa().cert, testCa().key];
      const leaf = { subject: "post-quantum", hosts, keyType: "ML-DSA-65", issuerCertPem, issuerKeyPem } as const;
      const { cert, key } = makeCertificate(leaf);
      folder.write({ "pq.pem": cert, "pq.key": key });
      const { path, kill } = await folder.start(config);
      await withBench(async (bench) => {
        const endpoint = await bench.serve(() => {}, { ext: { agent: path } });
        const session = await bench.connect(endpoint, OFF);
        await session.opened;
        assert.match(String(session.peerCertificate?.subject), /post-quantum/);
      })();
      await kill("SIGTERM");
    });
  }

  test("a client certificate: asked for, verified with the agent's trust store, and named by tags", async () => {
    const good = issue(["backup.nas.test"]);
    folder.write({
      "client.pem": good.cert,
      "client.key": good.key,
      "tags.d/nas.json":
        '{"filters": {"nas": {"field": "san.dns", "pattern": "*.nas.test"}}, "tags": {"storage": ["nas"]}}',
    });
    const asking = `${SERVER}x509.truststore = ca.pem\n${CLIENT}x509.certificate = client.pem\nx509.private_key = client.key\n`;
    const { path, kill } = await folder.start(asking);
    await withBench(async (bench) => {
      const ext = { agent: path };
      const pair = await bench.pair({ verifyClient: true, ext }, { ca: undefined as never, ext });
      assert.deepEqual(pair.server.ext.peerTags, ["storage"]);
      assert.deepEqual(pair.client.ext.peerTags, []);
      assert.match(String(pair.server.peerCertificate?.subjectAltName), /backup\.nas\.test/);
      const without = await bench.connect(pair.endpoint, OFF);
      assert.equal((await quicError(without.closed)).alert, 116);
    })();
    const session = quic.quic_server_session({ certificateRequest: 2 });
    await byAgent(path, () =>
      live({ ...NOTHING_OF_OURS, serverHandshake: (sd) => quic.quic_handshake(sd, session) }, () => {}),
    );
    assert.deepEqual(quic.quic_session_get_peer(session)?.tags, ["storage"]);
    await kill("SIGTERM");
  });

  test("pre-shared keys, and the documented errno for one that the server does not know", async () => {
    const key = "00112233445566778899aabbccddeeff";
    folder.write({ ours: `alice:${key}\n`, theirs: `mallory:${key}\n` });
    const psk = (client: string) => `[authenticate.client]\npsk = ${client}\n[authenticate.server]\npsk = ours\n`;
    const good = await folder.start(psk("ours"));
    await byAgent(good.path, () => live(NOTHING_OF_OURS, async (both) => assert.ok(await echoes(both, "psk"))));
    await good.kill("SIGTERM");
    const bad = await folder.start(psk("theirs"));
    const { client, server } = await byAgent(bad.path, () => outcomes(NOTHING_OF_OURS));
    assert.ok(hasCode("EKEYREJECTED")(server), String(server));
    assert.ok(hasCode("EACCES")(client), String(client));
    await bad.kill("SIGTERM");
  });

  test("SSLKEYLOGFILE of the agent has the secrets of all programs", async () => {
    const log = folder.path("keys.log");
    const { path, kill } = await folder.start(SERVER + CLIENT, { SSLKEYLOGFILE: log });
    await byAgent(path, () => live(NOTHING_OF_OURS, () => {}));
    assert.match(readFileSync(log, "utf8"), /^CLIENT_TRAFFIC_SECRET_0 [0-9a-f]{64} [0-9a-f]+$/m);
    await kill("SIGTERM");
  });

  test("SIGTERM and SIGINT end it with exit code 0, and its socket is gone", async () => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      const { path, kill } = await folder.start(SERVER);
      const { code, stderr, stdout } = await kill(signal);
      assert.deepEqual([code, stderr], [0, ""]);
      assert.match(stdout, /ended after 0 handshakes, and 0 that failed/);
      assert.equal(existsSync(path), false);
    }
  });
});

describe("what fails", () => {
  const folder = new AgentFolder(FILES);
  after(() => folder.remove());

  test("a certificate that the agent does not trust: EACCES, and alert 48", async () => {
    const stranger = makeCertificate({ subject: "another CA", ca: true });
    folder.write({ "other-ca.pem": stranger.cert });
    const { path, kill } = await folder.start(`${SERVER}${CLIENT.replace("ca.pem", "other-ca.pem")}`);
    const { client, server } = await byAgent(path, () => outcomes(NOTHING_OF_OURS));
    assert.ok(hasCode("EACCES")(client) && hasCode("EACCES")(server), `${client} ${server}`);
    await withBench(async (bench) => {
      const endpoint = await bench.serve(() => {}, { ext: { agent: path } });
      const session = await bench.connect(endpoint, { ca: undefined as never, ext: { agent: path } });
      const error = await quicError(session.opened);
      assert.deepEqual([error.code, error.alert], ["ERR_QUIC_HANDSHAKE", 48]);
    })();
    await kill("SIGTERM");
  });

  test("the agent's time is over: ETIMEDOUT", () =>
    silence(async (port) => {
      const { path, kill } = await folder.start(`[agent]\nhandshake_timeout = 1\n${CLIENT}`);
      await byAgent(path, async () => {
        const sd = await connecting(port, "sample");
        const began = performance.now();
        await assert.rejects(quic.quic_client_handshake(sd, null, "localhost"), hasCode("ETIMEDOUT"));
        assert.ok(performance.now() - began < 10_000, "the agent's, not ours of ten seconds");
        quic.close(sd);
      });
      await kill("SIGTERM");
    }));

  test("the agent is killed in mid-handshake: EIO for the client, and nothing is left", () =>
    silence(async (port, asked) => {
      const { path, kill } = await folder.start(CLIENT);
      await byAgent(path, async () => {
        const sd = await connecting(port, "sample");
        const handshake = quic.quic_client_handshake(sd, null, "localhost");
        const [result] = await Promise.allSettled([
          handshake,
          (async () => {
            await asked; // the ClientHello has left
            await kill("SIGKILL");
          })(),
        ]);
        assert.ok(result.status === "rejected" && hasCode("EIO")(result.reason), JSON.stringify(result));
        quic.close(sd);
      });
    }));

  test("the agent is killed in mid-handshake: EIO for the server, whose connection closes", async () => {
    const { path, kill } = await folder.start(SERVER);
    await byAgent(path, async () => {
      const listener = await listening("sample", [config({ validate_peer_address: 0 })]);
      // one way only: the server waits for the client's Finished
      const between = createSocket("udp4").bind(0, HOST);
      await once(between, "listening");
      const answered = new Promise<void>((resolve) => {
        between.on("message", (datagram, { port }) => {
          if (port === portOf(listener)) resolve();
          else between.send(datagram, portOf(listener), HOST);
        });
      });
      const client = await connecting(between.address().port, "sample");
      const hello = quic.quic_client_handshake(client, { serverName: "localhost", ca: [testCa().cert] });
      hello.catch(() => {});
      const child = await quic.promises.accept(listener);
      const handshake = quic.quic_server_handshake(child, {});
      const [result] = await Promise.allSettled([
        handshake,
        (async () => {
          await answered; // the server's first flight has left
          await kill("SIGKILL");
        })(),
      ]);
      assert.ok(result.status === "rejected" && hasCode("EIO")(result.reason), JSON.stringify(result));
      for (const sd of [client, child, listener]) quic.close(sd);
      between.close();
    });
  });

  test("there is no agent: ESRCH, and a warning that names the path", async () => {
    const path = folder.path("nobody.sock");
    const warnings: string[] = [];
    const onWarning = (warning: Error): number => warnings.push(warning.message);
    process.on("warning", onWarning);
    await silence((port) =>
      byAgent(path, async () => {
        const sd = await connecting(port, "sample");
        await assert.rejects(quic.quic_client_handshake(sd, null, "localhost"), hasCode("ESRCH"));
        quic.close(sd);
      }),
    );
    await until(() => warnings.some((text) => /the handshake agent at .*nobody\.sock is not there/.test(text)));
    process.off("warning", onWarning);
  });

  test("an agent without a certificate: EIO, and the connection says why", async () => {
    const { path, kill } = await folder.start(CLIENT);
    const { server } = await byAgent(path, () => outcomes(NOTHING_OF_OURS));
    assert.ok(hasCode("EIO")(server), String(server));
    assert.match(String(server), /has no certificate for servers/);
    await kill("SIGTERM");
  });

  test(
    "when the agent ends after handshakes, live connections go on, and the next agent is found",
    withBench(async (bench) => {
      const first = await folder.start(SERVER + CLIENT);
      const ext = { agent: first.path };
      const pair = await bench.pair({ ext }, { ca: undefined as never, ext }, echo);
      await first.kill("SIGKILL");
      const stream = await pair.client.createBidirectionalStream();
      await stream.writer.write(Buffer.from("still here"));
      await stream.writer.end();
      assert.equal(String(await readAll(stream)), "still here");
      const orphan = await bench.connect(pair.endpoint, { ca: undefined as never, ext });
      assert.equal((await quicError(orphan.opened)).alert, 80);
      const second = new AgentFolder(FILES);
      bench.later(() => second.remove());
      const { path } = await second.start(SERVER + CLIENT);
      renameSync(path, first.path);
      const next = await bench.connect(pair.endpoint, { ca: undefined as never, ext });
      await next.opened;
    }),
  );
});

describe("reload", () => {
  const folder = new AgentFolder(FILES);
  after(() => folder.remove());

  test("under load no handshake is lost: each has the old or the new certificate, and a broken file changes nothing", async () => {
    const agent = await folder.start(SERVER);
    const endpoint = await listen(() => {}, { alpn: ALPN, ext: { agent: agent.path } });
    const seen = new Map<string, number>();
    let stop = false;
    let failed = 0;
    const visit = async (): Promise<void> => {
      const session: QuicSession = await connect(addressOf(endpoint), { alpn: ALPN, ca: testCa().cert, ...OFF });
      try {
        await session.opened;
        const serial = session.peerCertificate?.serialNumber ?? "";
        seen.set(serial, (seen.get(serial) ?? 0) + 1);
      } catch {
        failed++;
      }
      session.destroy();
    };
    const worker = async (): Promise<void> => {
      while (!stop) await visit();
    };
    const load = Promise.all(Array.from({ length: 8 }, worker));
    await until(() => total(seen) > 0);
    const identities: Certificate[] = [issue(["localhost"]), issue(["localhost"]), issue(["localhost"])];
    for (const { cert, key } of identities) {
      folder.write({ "cert.pem": cert, "key.pem": key });
      assert.match(await agent.reload(), /is read again/);
      const before = total(seen);
      await until(() => total(seen) > before + 20);
    }
    folder.write({ "key.pem": "broken" });
    assert.match(await agent.reload(), /^nothing changes: .*config: \[authenticate\.server\]/);
    const before = total(seen);
    await until(() => total(seen) > before + 20);
    stop = true;
    await load;
    assert.equal(failed, 0);
    assert.equal(seen.size, 4, "the first and the three new ones");
    endpoint.destroy();
    await endpoint.closed;
    await agent.kill("SIGTERM");
  });
});

describe("revocation", () => {
  const folder = new AgentFolder(FILES);
  after(() => folder.remove());
  const list = (...revoked: string[]) => makeList({ issued: testLeaf().cert, key: testCa().key, revoked });
  const revokes = async (config: string, who: string, side: "client" | "server", certificateRequest: number) => {
    folder.write({ "crl.pem": list() });
    const agent = await folder.start(config);
    const visit = () =>
      byAgent(agent.path, () => {
        const session = quic.quic_server_session({ certificateRequest });
        return outcomes({ ...NOTHING_OF_OURS, serverHandshake: (sd) => quic.quic_handshake(sd, session) });
      });
    assert.deepEqual(await visit(), { client: null, server: null });
    folder.write({ "crl.pem": list(who) });
    assert.match(await agent.reload(), /is read again/);
    const refused = (await visit())[side];
    assert.ok(hasCode("EACCES")(refused), String(refused));
    folder.write({ "crl.pem": "broken" });
    assert.match(await agent.reload(), /^nothing changes: .*crl\.pem: there is no revocation list/);
    folder.write({
      "crl.pem": makeList({ issued: testLeaf().cert, key: makeCertificate({ subject: "x", ca: true }).key }),
    });
    assert.match(
      await agent.reload(),
      /^nothing changes: .*\[authenticate.*\{crl\} is not signed by the authority of \{ca\}/,
    );
    assert.ok(hasCode("EACCES")((await visit())[side]), "the last whole list holds");
    await agent.kill("SIGTERM");
  };

  test("SIGHUP takes a new x509.crl: a client whose certificate it names is refused with EACCES", async () => {
    const client = issue(["client.test"]);
    folder.write({ "client.pem": client.cert, "client.key": client.key });
    const showing = "x509.certificate = client.pem\nx509.private_key = client.key\n";
    const config = `${SERVER}x509.truststore = ca.pem\nx509.crl = crl.pem\n${CLIENT}${showing}`;
    await revokes(config, client.cert, "server", 2);
  });

  test("a server is refused by the client's list", () =>
    revokes(`${SERVER}${CLIENT}x509.crl = crl.pem\n`, testLeaf().cert, "client", 0));
});

function total(seen: ReadonlyMap<string, number>): number {
  return [...seen.values()].reduce((sum, count) => sum + count, 0);
}

describe("what is left", () => {
  test("after 1,000 handshakes the agent has no session, and contexts of open endpoints only", async () => {
    const { cert, key } = testLeaf();
    const settings = {
      server: { identities: { "*": { cert, key } } },
      client: { identities: {}, ca: [testCa().cert] },
    };
    const { agent, path, stop } = await testAgent(settings);
    const endpoint = await listen(() => {}, { alpn: ALPN, ext: { agent: path } });
    const visit = async (): Promise<void> => {
      const session = await connect(addressOf(endpoint), { alpn: ALPN, ext: { agent: path } });
      await session.opened;
      await session.close();
    };
    for (let i = 0; i < 50; i++) await Promise.all(Array.from({ length: 10 }, visit));
    await until(() => agent.counters.sessions === 0);
    const { handshakes, contexts, programs } = agent.counters;
    assert.deepEqual([programs, contexts], [1, 1]);
    assert.ok(handshakes >= 999, `${handshakes}: both sides of each; a server's may end before it is done`);
    endpoint.destroy();
    await endpoint.closed;
    await until(() => agent.counters.contexts === 0);
    stop();
  });

  test("the version says which library works where", async () => {
    const { path, stop, agent } = await testAgent();
    const tls = agentTls(path);
    assert.match(tls.version, /^handshake agent at /);
    tls.newServerContext({ alpn: ["x"], identities: {} }).newSession({ transportParams: new Uint8Array(0) });
    await until(() => /^(OpenSSL|GnuTLS) .* at /.test(tls.version));
    assert.equal(agent.counters.failures, 1);
    stop();
  });
});

describe("what is sent before the peer is known", () => {
  test(
    "nothing of a stream to a server whose certificate is not the pinned one, although TLS says it late",
    withBench(async (bench) => {
      const { path, stop } = await testAgent();
      bench.later(stop);
      let arrived = 0;
      const endpoint = await bench.serve((session) => {
        session.onstream = () => arrived++;
        session.closed.catch(() => {});
      });
      const session = await bench.connect(endpoint, {
        ext: { agent: path, serverCertificateHashes: [{ value: new Uint8Array(32) }] },
      });
      session.createBidirectionalStream({ body: "secret" }).catch(() => {}); // it may open: nobody has said no yet
      const error = await quicError(session.opened);
      assert.deepEqual([error.code, error.alert], ["ERR_QUIC_HANDSHAKE", 42]);
      await sleep(50);
      assert.equal(arrived, 0);
      const { streamBytesSent = -1 } = session.ext.stats() as { streamBytesSent?: number };
      assert.ok(streamBytesSent <= 0, `${streamBytesSent}`);
    }),
  );
});
