/**
 * Pre-shared keys (RFC 8446 §4.2.11) over port/tls, for a client and a server of any two providers. `pskContract` adds the
 * cases to the running test file.
 */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  LEVEL_INITIAL,
  type TlsClientConfig,
  type TlsContext,
  type TlsProvider,
  type TlsPsk,
  type TlsServerConfig,
} from "../../port/tls.js";
import { Pair } from "./tls-pair.contract.js";
import { devCertificate } from "./x509.js";

const DECRYPT_ERROR = 51;
const PARAMS = Uint8Array.of(0x04, 0x04, 0x80, 0x10, 0x00, 0x00);
const { cert, key } = devCertificate({ hosts: ["quic.test"] });

function psk(identity: string, fill: number, bytes = 32): TlsPsk {
  return { identity, key: new Uint8Array(bytes).fill(fill) };
}

export function pskContract(name: string, clientProvider: TlsProvider, serverProvider: TlsProvider): void {
  const alice = psk("alice", 1);
  const bob = psk("bob", 2);

  function clientContext(config: Partial<TlsClientConfig>): TlsContext {
    return clientProvider.newClientContext({ alpn: ["sample"], serverName: "", verify: "strict", ...config });
  }

  function serverContext(config: Partial<TlsServerConfig>): TlsContext {
    return serverProvider.newServerContext({ alpn: ["sample"], identities: {}, ...config });
  }

  function connect(client: TlsContext, server: TlsContext, ticket?: Uint8Array): Pair {
    const options = { transportParams: PARAMS, ...(ticket !== undefined && { ticket }) };
    return new Pair(client.newSession(options), server.newSession({ transportParams: PARAMS }));
  }

  async function shake(client: Partial<TlsClientConfig>, server: Partial<TlsServerConfig>) {
    const pair = connect(clientContext(client), serverContext(server));
    const infos = await pair.handshake();
    pair.close();
    return { pair, ...infos };
  }

  async function refused(client: TlsPsk[], server: TlsPsk[]) {
    const pair = connect(clientContext({ psk: client }), serverContext({ psk: server }));
    const alert = await pair.failure("server");
    assert.equal(pair.client.info, undefined);
    pair.close();
    return alert;
  }

  describe(`pre-shared keys: ${name}`, () => {
    test("RFC 8446 §4.2.11 both sides finish without a certificate, and both know the identity", async () => {
      const { client, server } = await shake({ psk: [alice], serverName: "quic.test" }, { psk: [alice] });
      for (const info of [client, server]) {
        const { alpn, serverName, cipher, pskIdentity, resumed, peerCertificates, verifyError } = info;
        assert.deepEqual(
          { alpn, serverName, cipher, pskIdentity, resumed, peerCertificates, verifyError },
          {
            alpn: "sample",
            serverName: "quic.test",
            cipher: "TLS_AES_128_GCM_SHA256",
            pskIdentity: "alice",
            resumed: false,
            peerCertificates: [],
            verifyError: "",
          },
        );
        assert.notEqual(info.group, "", "psk_dhe_ke: with a key exchange");
      }
    });

    test("a server takes any of its keys, a client offers its first; identities are bytes of UTF-8", async () => {
      const zoe = psk("zoë 🔑", 3, 16);
      const { server } = await shake({ psk: [zoe, alice] }, { psk: [alice, bob, zoe] });
      assert.equal(server.pskIdentity, "zoë 🔑");
      assert.equal((await shake({ psk: [bob] }, { psk: [alice, bob] })).server.pskIdentity, "bob");
    });

    test("a wrong key and an unknown identity are alert 51 at the server, so that nobody learns which exist", async () => {
      assert.equal((await refused([psk("alice", 9)], [alice, bob])).alert, DECRYPT_ERROR);
      const unknown = await refused([psk("carol", 1)], [alice, bob]);
      assert.equal(unknown.alert, DECRYPT_ERROR);
      assert.match(unknown.message, /unknown PSK identity/);
      assert.equal((await refused([psk("alic", 1)], [alice])).alert, DECRYPT_ERROR, "a beginning is not the whole");
    });

    test("a peer with a certificate in place of the key never finishes", async () => {
      const withPsk = { psk: [alice] };
      const sides: [Partial<TlsClientConfig>, Partial<TlsServerConfig>][] = [
        [{ ca: [cert], serverName: "quic.test" }, withPsk],
        [withPsk, { identities: { "*": { cert, key } } }],
      ];
      for (const [client, server] of sides) {
        const pair = connect(clientContext(client), serverContext(server));
        await pair.until(() => (pair.client.alert ?? pair.server.alert) !== undefined, "alert");
        assert.equal(pair.client.info ?? pair.server.info, undefined);
        pair.close();
      }
    });

    test("RFC 8446 §4.1.4 the key outlives a HelloRetryRequest", async () => {
      const { pair, client } = await shake({ psk: [alice], groups: "P-256:P-384" }, { psk: [alice], groups: "P-384" });
      assert.equal(pair.client.of("send").filter((send) => send.level === LEVEL_INITIAL).length, 2);
      assert.equal(client.pskIdentity, "alice");
    });

    for (const cipher of ["TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_CCM_SHA256"]) {
      test(`goes with ${cipher}; what is of another hash is left out`, async () => {
        const ciphers = `TLS_AES_256_GCM_SHA384:${cipher}`;
        const { client } = await shake({ psk: [alice], ciphers }, { psk: [alice], ciphers });
        assert.equal(client.cipher, cipher);
      });
    }

    test("a ticket of such a session resumes for the same key, and not where certificates are asked for", async () => {
      const ticketSecret = new Uint8Array(32).fill(7);
      const [client, server] = [clientContext({ psk: [alice] }), serverContext({ psk: [alice], ticketSecret })];
      const first = connect(client, server);
      await first.handshake(1);
      const ticket = first.client.of("ticket")[0]?.bytes as Uint8Array;
      const again = await connect(client, server, ticket).handshake();
      for (const info of [again.client, again.server]) assert.deepEqual([info.resumed, info.pskIdentity], [true, ""]);
      const other = connect(clientContext({ psk: [psk("alice", 1, 31)] }), server, ticket);
      assert.equal((await other.failure("server")).alert, DECRYPT_ERROR);
      const certified = connect(
        clientContext({ ca: [cert], serverName: "quic.test" }),
        serverContext({ identities: { "*": { cert, key } }, ticketSecret }),
        ticket,
      );
      assert.equal((await certified.handshake()).client.resumed, false);
    });
  });
}
