/** The functions of libquic over real UDP: handshakes by files, by steps, and what ends them. */

import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import * as quic from "#src/api/socket/index.js";
import {
  CLIENT,
  closeLeftovers,
  cert,
  config,
  connecting,
  echoes,
  hasCode,
  HOST,
  key,
  live,
  outcomes,
  SERVER,
  withFiles,
} from "./live.js";

afterEach(closeLeftovers);

const { structs } = quic;
const KEY = "00112233445566778899aabbccddeeff";

function codes(result: { client: unknown; server: unknown }): [client: unknown, server: unknown] {
  const { client, server } = result as Record<"client" | "server", { code?: string } | null>;
  return [client?.code ?? null, server?.code ?? null];
}

describe("files", () => {
  test("a file of pre-shared keys at both ends: the client takes the first line, the server any", () =>
    withFiles({ client: `bob:${KEY}\n`, server: `alice:${"01".repeat(32)}\nbob:${KEY}\n` }, (pathOf) =>
      live(
        {
          clientHandshake: (sd) => quic.quic_client_handshake(sd, pathOf("client"), "localhost", null),
          serverHandshake: (sd) => quic.quic_server_handshake(sd, pathOf("server"), null, null),
        },
        async (both) => assert.ok(await echoes(both, "psk")),
      ),
    ));

  test("a private key and a certificate as files; alpns name what this side speaks", () =>
    withFiles({ cert, key }, (pathOf) =>
      live(
        {
          alpn: "one,two",
          clientHandshake: (sd) => quic.quic_client_handshake(sd, null, "localhost", "two", { ca: [cert] }),
          serverHandshake: (sd) => quic.quic_server_handshake(sd, pathOf("key"), pathOf("cert")),
        },
        async (both) => {
          assert.ok(await echoes(both, "certificate"));
          for (const sd of [both.client, both.server]) {
            const alpn = quic.getsockopt(sd, quic.SOL_QUIC, quic.QUIC_SOCKOPT_ALPN);
            assert.equal(String(Buffer.from(alpn)), "two");
          }
        },
      ),
    ));

  test("a wrong key is EACCES at both ends; an identity that is in no line EKEYREJECTED at the server", () =>
    withFiles({ right: `a:${KEY}`, wrong: `a:${"02".repeat(16)}`, other: `b:${KEY}` }, async (pathOf) => {
      const with_ = (name: string) =>
        outcomes({
          clientHandshake: (sd) => quic.quic_client_handshake(sd, pathOf(name)),
          serverHandshake: (sd) => quic.quic_server_handshake(sd, pathOf("right"), null),
        });
      assert.deepEqual(codes(await with_("wrong")), ["EACCES", "EACCES"]);
      const unknown = await with_("other");
      assert.deepEqual(codes(unknown), ["EACCES", "EKEYREJECTED"]);
      assert.equal((unknown.client as { cause: { alert: number } }).cause.alert, 51);
    }));

  test("a line that is wrong is EINVAL and named; a file that is not there ENOENT", () =>
    withFiles({ bad: `a:${KEY}\nb\n` }, async (pathOf) => {
      const sd = await connecting(9, "sample");
      await assert.rejects(quic.quic_client_handshake(sd, pathOf("bad")), (error: unknown) => {
        assert.match(String(error), /EINVAL.*bad: line 2 is not identity:hexkey/);
        return hasCode("EINVAL")(error);
      });
      await assert.rejects(quic.quic_client_handshake(sd, pathOf("none")), hasCode("ENOENT"));
      quic.close(sd);
    }));
});

describe("what ends a handshake", () => {
  test("a certificate of nobody's is EACCES at both ends, with the alert as cause", async () => {
    const result = await outcomes({
      clientHandshake: (sd) => quic.quic_client_handshake(sd, { serverName: "localhost", ca: [] }),
    });
    assert.deepEqual(codes(result), ["EACCES", "EACCES"]);
    assert.match(String(result.client), /DEPTH_ZERO_SELF_SIGNED_CERT|UNABLE_TO/);
  });

  test("a server that never answers is ETIMEDOUT, by timeoutMillis or by SO_RCVTIMEO; a signal ends it, too", async () => {
    const silent = quic.socket(quic.AF_INET, quic.SOCK_DGRAM);
    await quic.bind(silent, { address: HOST, port: 0 });
    const { port } = quic.getsockname(silent);
    const ended = async (receiveTimeout: number, options: quic.HandshakeOptions): Promise<unknown> => {
      const sd = await connecting(port, "sample");
      quic.setsockopt(sd, quic.SOL_SOCKET, quic.SO_RCVTIMEO, receiveTimeout);
      const error = await quic.quic_client_handshake(sd, { ...CLIENT, ...options }).catch((reason: unknown) => reason);
      quic.close(sd);
      return error;
    };
    assert.ok(hasCode("ETIMEDOUT")(await ended(0, { timeoutMillis: 30 })));
    assert.ok(hasCode("ETIMEDOUT")(await ended(30, {})));
    const reason = new Error("enough");
    assert.equal(await ended(0, { signal: AbortSignal.abort(reason) }), reason);
    const controller = new AbortController();
    setTimeout(() => controller.abort(reason), 10);
    assert.equal(await ended(0, { signal: controller.signal }), reason);
    quic.close(silent);
  });

  test("a signal that is aborted before begins nothing: the session may be used again", async () => {
    const session = quic.quic_client_session(CLIENT);
    const signal = AbortSignal.abort();
    const handshake = (sd: number, options: quic.HandshakeOptions): Promise<void> =>
      quic.quic_handshake(sd, session, options);
    const result = await outcomes({
      clientHandshake: async (sd) => {
        await assert.rejects(handshake(sd, { signal }), { name: "AbortError" });
        assert.equal(session.steps, null);
        await handshake(sd, {});
      },
    });
    assert.deepEqual(codes(result), [null, null]);
  });

  test("a server that listens no more is ECONNREFUSED; the wrong role, or a second handshake, EINVAL", async () => {
    const result = await outcomes({
      serverHandshake: async (sd) => {
        await assert.rejects(quic.quic_client_handshake(sd, CLIENT), hasCode("EINVAL"));
        await quic.quic_server_handshake(sd, SERVER);
        await assert.rejects(quic.quic_server_handshake(sd, SERVER), hasCode("EINVAL"));
      },
    });
    assert.deepEqual(codes(result), [null, null]);
    const full = quic.socket(quic.AF_INET, quic.SOCK_DGRAM);
    quic.setsockopt(full, quic.SOL_QUIC, quic.QUIC_SOCKOPT_ALPN, "sample");
    await quic.bind(full, { address: HOST, port: 0 });
    await quic.listen(full, 1);
    const { port } = quic.getsockname(full);
    const first = await connecting(port, "sample");
    const firstEnds = quic.quic_client_handshake(first, CLIENT).catch(() => {});
    while ((quic.poll(full) & quic.POLLIN) === 0) await new Promise((resolve) => setTimeout(resolve, 2));
    const second = await connecting(port, "sample");
    await assert.rejects(quic.quic_client_handshake(second, CLIENT), hasCode("ECONNREFUSED"));
    for (const sd of [first, second, full]) quic.close(sd);
    await firstEnds;
  });
});

describe("ciphers (payload_cipher_type)", () => {
  const { TLS_CIPHER_AES_GCM_128, TLS_CIPHER_AES_GCM_256, TLS_CIPHER_AES_CCM_128, TLS_CIPHER_CHACHA20_POLY1305 } = quic;
  const types = [TLS_CIPHER_AES_GCM_128, TLS_CIPHER_AES_GCM_256, TLS_CIPHER_AES_CCM_128, TLS_CIPHER_CHACHA20_POLY1305];
  for (const type of types) {
    test(`${type}, named by either side`, async () => {
      const named = [config({ payload_cipher_type: type })];
      await live({ client: named }, async (both) => assert.ok(await echoes(both, "cipher of the client")));
      await live({ server: named }, async (both) => assert.ok(await echoes(both, "cipher of the server")));
    });
  }

  test("sides without a common one are EACCES; pre-shared keys go with ciphers of SHA-256 only, else EINVAL", async () => {
    const [client, server] = [quic.TLS_CIPHER_AES_CCM_128, quic.TLS_CIPHER_AES_GCM_128].map((type) => [
      config({ payload_cipher_type: type }),
    ]);
    assert.deepEqual(codes(await outcomes({ client: client ?? [], server: server ?? [] })), ["EACCES", "EACCES"]);
    const psk = [{ identity: "a", key: Buffer.from(KEY, "hex") }];
    const sd = await connecting(9, "sample", [config({ payload_cipher_type: quic.TLS_CIPHER_AES_GCM_256 })]);
    await assert.rejects(quic.quic_client_handshake(sd, { serverName: "", psk }), hasCode("EINVAL"));
    quic.close(sd);
  });
});

describe("steps", () => {
  /** Takes the steps of a session on a socket, as a program without our promises does. */
  async function byHand(sd: number, session: quic.QuicTlsSession): Promise<number[]> {
    const ops: number[] = [];
    const local = quic.getsockopt(sd, quic.SOL_QUIC, quic.QUIC_SOCKOPT_TRANSPORT_PARAM_EXT);
    let step = quic.quic_handshake_init(session, local);
    while (step !== null) {
      ops.push(step.op);
      if (step.op === quic.QUIC_HANDSHAKE_OP_SENDMSG) {
        quic.sendmsg(sd, { data: step.data, flags: step.flags, handshake: { crypto_level: step.level } });
      } else if (step.op === quic.QUIC_HANDSHAKE_OP_SETSOCKOPT) {
        quic.setsockopt(sd, quic.SOL_QUIC, step.name, step.value);
      } else {
        const message = await quic.promises.recvmsg(sd, 65_536);
        step = { ...step, data: message.data, level: message.handshake?.crypto_level ?? 99 };
      }
      step = quic.quic_handshake_step(session, step);
    }
    assert.equal(quic.quic_session_get_alpn(session), "sample");
    quic.quic_handshake_deinit(session);
    return ops;
  }

  test("a caller with his own I/O takes them at both ends; all messages of a flight but the last have MSG_MORE", async () => {
    const flights: number[][] = [];
    const clientSession = quic.quic_client_session({ ...CLIENT, alpn: "sample" });
    const serverSession = quic.quic_server_session(SERVER);
    quic.quic_session_set_alpn(serverSession, "other,sample");
    await live(
      {
        clientHandshake: async (sd) => void flights.push(await byHand(sd, clientSession)),
        serverHandshake: async (sd) => void flights.push(await byHand(sd, serverSession)),
      },
      async (both) => assert.ok(await echoes(both, "steps")),
    );
    for (const ops of flights) {
      const { QUIC_HANDSHAKE_OP_RECVMSG, QUIC_HANDSHAKE_OP_SENDMSG, QUIC_HANDSHAKE_OP_SETSOCKOPT } = quic;
      assert.equal(ops.at(-1), QUIC_HANDSHAKE_OP_SETSOCKOPT, "the key that reads 1-RTT packets is the last of all");
      for (const op of [QUIC_HANDSHAKE_OP_RECVMSG, QUIC_HANDSHAKE_OP_SENDMSG]) assert.ok(ops.includes(op));
    }
  });

  test("a session that fails says which alert, sets it for `close`, and the peer is told", async () => {
    const result = await outcomes({
      clientHandshake: async (sd) => {
        try {
          await byHand(sd, quic.quic_client_session({ serverName: "localhost", ca: [], alpn: "sample" }));
        } finally {
          const value = quic.getsockopt(sd, quic.SOL_QUIC, quic.QUIC_SOCKOPT_CONNECTION_CLOSE);
          assert.equal(structs.connectionClose.decode(value).errcode, 0x100 + 48);
          quic.shutdown(sd, quic.SHUT_WR);
        }
      },
    });
    assert.deepEqual(codes(result), ["EACCES", "EACCES"]);
    assert.equal((result.server as { cause: { alert: number } }).cause.alert, 48);
  });

  test("quic_handshake takes the steps of a prepared session", () =>
    live(
      {
        clientHandshake: (sd) => quic.quic_handshake(sd, quic.quic_client_session(CLIENT)),
        serverHandshake: (sd) => quic.quic_handshake(sd, quic.quic_server_session(SERVER)),
      },
      async (both) => assert.ok(await echoes(both, "prepared")),
    ));

  test("protocols of a session: a comma list of 64 characters and 5 names at most", () => {
    const session = quic.quic_server_session(SERVER);
    const set = (list: string) => quic.quic_session_set_alpn(session, list);
    for (const good of ["a,b,c,d,e", "x".repeat(64)]) {
      set(good);
      assert.equal(quic.quic_session_get_alpn(session), good);
    }
    for (const bad of ["a,b,c,d,e,f", "x".repeat(65), "", "a,,b"]) assert.throws(() => set(bad), hasCode("EINVAL"));
    assert.throws(() => quic.quic_session_set_data(session, new Uint8Array(1)), hasCode("EINVAL"));
    assert.equal(quic.quic_session_get_data(quic.quic_client_session(CLIENT)).length, 0);
  });
});
