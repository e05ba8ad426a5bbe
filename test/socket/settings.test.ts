/** What TRANSPORT_PARAM, CONFIG and a preferred address do on the wire, over real UDP. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fileOf } from "#src/api/socket/descriptors.js";
import * as quic from "#src/api/socket/index.js";
import { setAddressRow } from "#src/runtime/address.js";
import { CLIENT, config, echoes, hasCode, HOST, live, params, SERVER } from "./live.js";
import { freeUdpPort } from "../support/ports.js";

const { promises, structs } = quic;
type Params = ReturnType<typeof structs.transportParam.decode>;

function paramsOf(sd: number, remote: number): Params {
  const question = structs.transportParam.encode({ remote });
  return structs.transportParam.decode(quic.getsockopt(sd, quic.SOL_QUIC, quic.QUIC_SOCKOPT_TRANSPORT_PARAM, question));
}

function set(sd: number, name: number, value: Uint8Array): void {
  quic.setsockopt(sd, quic.SOL_QUIC, name, value);
}

function want(sd: number, type: number): void {
  set(sd, quic.QUIC_SOCKOPT_EVENT, structs.eventOption.encode({ type, on: 1 }));
}

/** What both sides tell each other is what the other side reads. */
function assertTold(client: number, server: number): void {
  for (const [teller, told] of [
    [client, server],
    [server, client],
  ] as const) {
    const ours = paramsOf(teller, 0);
    const theirs = paramsOf(told, 1);
    // only servers have a token for resets
    const expected = { ...ours, remote: 1, stateless_reset: teller === server ? ours.stateless_reset : 0 };
    assert.deepEqual(theirs, expected);
  }
}

const ALL_SET = {
  disable_active_migration: 1,
  grease_quic_bit: 1,
  stateless_reset: 1,
  disable_1rtt_encryption: 1,
  disable_compatible_version: 1,
  active_connection_id_limit: 5,
  ack_delay_exponent: 4,
  max_datagram_frame_size: 1400,
  max_udp_payload_size: 1472,
  max_idle_timeout: 9_000_000,
  max_ack_delay: 20_000,
  max_streams_bidi: 7,
  max_streams_uni: 8,
  max_data: 100_000,
  max_stream_data_bidi_local: 20_000,
  max_stream_data_bidi_remote: 30_000,
  max_stream_data_uni: 40_000,
};

describe("transport parameters", () => {
  test("defaults are Linux's, at both ends", () => live({}, ({ client, server }) => assertTold(client, server)));

  test("each one that is set before `connect` and `listen` is told to the peer", () =>
    live({ client: [params(ALL_SET)], server: [params(ALL_SET)] }, async (both) => {
      assertTold(both.client, both.server);
      assert.equal(paramsOf(both.client, 1).max_streams_uni, 8);
      assert.ok(await echoes(both, "with all of them"));
    }));

  test("each one that is set between `connect` or `accept` and the handshake is told, and holds", () => {
    const late = (sd: number): void => {
      set(sd, ...(params(ALL_SET) as [number, Uint8Array]));
    };
    const options = {
      clientHandshake: (sd: number) => {
        late(sd);
        return quic.quic_client_handshake(sd, CLIENT);
      },
      serverHandshake: (sd: number) => {
        late(sd);
        return quic.quic_server_handshake(sd, SERVER);
      },
    };
    return live(options, async (both) => {
      assertTold(both.client, both.server);
      const stream = { stream_id: 2, stream_flags: quic.MSG_QUIC_STREAM_NEW };
      assert.equal(quic.sendmsg(both.client, { data: Buffer.alloc(60_000), flags: 0, stream }), 40_000);
      let bytes = 0;
      while (bytes < 40_000) bytes += (await promises.recvmsg(both.server, 65_536)).data.length;
      assert.ok(await echoes(both, "more credit came"));
    });
  });

  test("after the handshake a set is EINVAL", () =>
    live({}, ({ client, server }) => {
      for (const sd of [client, server]) {
        assert.throws(() => set(sd, ...(params({ max_data: 5000 }) as [number, Uint8Array])), hasCode("EINVAL"));
        assert.throws(
          () => set(sd, ...(config({ stream_data_nodelay: 1 }) as [number, Uint8Array])),
          hasCode("EINVAL"),
        );
      }
    }));

  test("a client whose server disables active migration may not move: EINVAL", () =>
    live({ server: [params({ disable_active_migration: 1 })] }, ({ client }) => {
      const move = (): void => set(client, quic.QUIC_SOCKOPT_CONNECTION_MIGRATION, sockaddr(HOST, 9));
      assert.throws(move, hasCode("EINVAL"));
    }));
});

describe("versions", () => {
  const version = (number: number): ReturnType<typeof config> => config({ version: number });
  const infoOf = (sd: number): number =>
    structs.config.decode(quic.getsockopt(sd, quic.SOL_QUIC, quic.QUIC_SOCKOPT_CONFIG)).version;

  test("a client of version 123 is told which ones there are, and goes on in one", () =>
    live({ client: [version(123)] }, async (both) => {
      assert.equal(infoOf(both.client), 123, "what was asked for");
      assert.ok(await echoes(both, "after Version Negotiation"));
    }));

  test("a version that is set after `connect` is that of the first flight", async () => {
    for (const number of [123, quic.QUIC_VERSION_V2]) {
      const clientHandshake = (sd: number): Promise<void> => {
        set(sd, ...(version(number) as [number, Uint8Array]));
        return quic.quic_client_handshake(sd, CLIENT);
      };
      await live({ clientHandshake, server: [version(quic.QUIC_VERSION_V2)] }, async (both) => {
        assert.ok(await echoes(both, `${number}`));
        assert.equal(fileOf(both.client, "test").conn?.versions.isSecond, number === 123);
        assert.equal(fileOf(both.client, "test").conn?.versions.current, quic.QUIC_VERSION_V2);
      });
    }
  });

  test("versions 1 and 2 in any combination, with compatible negotiation and without", async () => {
    for (const one of [quic.QUIC_VERSION_V1, quic.QUIC_VERSION_V2]) {
      for (const two of [quic.QUIC_VERSION_V1, quic.QUIC_VERSION_V2]) {
        for (const disable_compatible_version of [0, 1]) {
          const flag = params({ disable_compatible_version });
          await live({ client: [version(one), flag], server: [version(two)] }, async (both) => {
            assert.ok(await echoes(both, `${one} ${two}`));
          });
        }
      }
    }
  });
});

function sockaddr(address: string, port: number): Uint8Array {
  const row = new Int32Array(10);
  assert.ok(setAddressRow(row, 0, address, port));
  return quic.sockaddrOfRow(row);
}

describe("a server's preferred address", () => {
  const MIGRATION = quic.QUIC_EVENT_CONNECTION_MIGRATION;

  test("an accepted socket names it before the handshake; the client goes there, and both are told", async () => {
    const port = await freeUdpPort(HOST);
    const serverHandshake = (sd: number): Promise<void> => {
      set(sd, quic.QUIC_SOCKOPT_CONNECTION_MIGRATION, sockaddr("::1", port)); // the other family is allowed
      set(sd, quic.QUIC_SOCKOPT_CONNECTION_MIGRATION, sockaddr(HOST, port));
      want(sd, MIGRATION);
      return quic.quic_server_handshake(sd, SERVER);
    };
    const clientHandshake = (sd: number): Promise<void> => {
      want(sd, MIGRATION);
      return quic.quic_client_handshake(sd, CLIENT);
    };
    await live({ clientHandshake, serverHandshake }, async (both) => {
      const before = quic.getpeername(both.client).port;
      assert.deepEqual([...(await promises.recvmsg(both.client, 10)).data], [MIGRATION, 0]);
      assert.deepEqual([...(await promises.recvmsg(both.server, 10)).data], [MIGRATION, 1]);
      assert.notEqual(before, port);
      assert.equal(quic.getpeername(both.client).port, port);
      assert.equal(quic.getsockname(both.server).port, port);
      assert.ok(await echoes(both, "there"));
      const move = (): void => set(both.client, quic.QUIC_SOCKOPT_CONNECTION_MIGRATION, sockaddr(HOST, 9));
      assert.throws(move, hasCode("EAGAIN"), "a preferred address is in use");
    });
  });

  for (const [from, to] of [
    [HOST, "::1"],
    ["::1", HOST],
  ] as const) {
    test(`only one at ${to}: AF_INET6 clients at ${from} go there, others stay in their family`, async () => {
      const listener = quic.socket(quic.AF_INET6, quic.SOCK_DGRAM);
      quic.setsockopt(listener, quic.SOL_QUIC, quic.QUIC_SOCKOPT_ALPN, "sample");
      const port = await freeUdpPort("::");
      await quic.bind(listener, { address: "::", port });
      await quic.listen(listener, 4);
      const preferred = await freeUdpPort("::");
      const families = from === HOST ? [quic.AF_INET, quic.AF_INET6] : [quic.AF_INET6, quic.AF_INET6];
      for (const [i, family] of families.entries()) {
        const client = quic.socket(family, quic.SOCK_DGRAM);
        const goes = i === 1;
        if (family === quic.AF_INET6 && !goes) quic.setsockopt(client, quic.IPPROTO_IPV6, quic.IPV6_V6ONLY, 1);
        quic.setsockopt(client, quic.SOL_QUIC, quic.QUIC_SOCKOPT_ALPN, "sample");
        want(client, MIGRATION);
        await quic.connect(client, { address: from, port });
        const handshake = quic.quic_client_handshake(client, CLIENT);
        const server = await promises.accept(listener);
        set(server, quic.QUIC_SOCKOPT_CONNECTION_MIGRATION, sockaddr(to, preferred));
        await Promise.all([handshake, quic.quic_server_handshake(server, SERVER)]);
        if (goes) assert.deepEqual([...(await promises.recvmsg(client, 10)).data], [MIGRATION, 0]);
        assert.ok(await echoes({ listener, client, server }, "hello"));
        assert.equal(quic.getpeername(client).address, goes ? to : from);
        for (const sd of [client, server]) quic.close(sd);
      }
      quic.close(listener);
    });
  }

  test("three listeners on one port, IPv4 and IPv6 clients: each gets its own, and its clients come to its address", async () => {
    const port = await freeUdpPort("::");
    const listeners = new Map<string, { listener: number; preferred: number }>();
    for (const alpn of ["smbd", "h3", "ksmbd"]) {
      const listener = quic.socket(quic.AF_INET6, quic.SOCK_DGRAM);
      quic.setsockopt(listener, quic.SOL_QUIC, quic.QUIC_SOCKOPT_ALPN, alpn);
      await quic.bind(listener, { address: "::", port });
      await quic.listen(listener, 4);
      listeners.set(alpn, { listener, preferred: await freeUdpPort("::") });
    }
    for (const [alpn, { listener, preferred }] of listeners) {
      for (const address of [HOST, "::1"]) {
        const client = quic.socket(quic.AF_INET6, quic.SOCK_DGRAM);
        quic.setsockopt(client, quic.SOL_QUIC, quic.QUIC_SOCKOPT_ALPN, alpn);
        want(client, MIGRATION);
        await quic.connect(client, { address, port });
        const accepting = promises.accept(listener);
        const handshake = quic.quic_client_handshake(client, CLIENT);
        const server = await accepting;
        for (const one of [HOST, "::1"]) {
          set(server, quic.QUIC_SOCKOPT_CONNECTION_MIGRATION, sockaddr(one, preferred));
        }
        await Promise.all([handshake, quic.quic_server_handshake(server, SERVER)]);
        assert.deepEqual([...(await promises.recvmsg(client, 10)).data], [MIGRATION, 0]);
        assert.deepEqual([quic.getpeername(client).port, quic.getpeername(client).address], [preferred, address]);
        assert.ok(await echoes({ listener, client, server }, `${alpn} at ${address}`));
        for (const sd of [client, server]) quic.close(sd);
      }
    }
    for (const { listener } of listeners.values()) quic.close(listener);
  });

  test("where we are already, port 0, or no address: EINVAL; after the handshake, too", async () => {
    const serverHandshake = (sd: number): Promise<void> => {
      const here = quic.getsockname(sd).port;
      for (const wrong of [sockaddr(HOST, here), sockaddr(HOST, 0), new Uint8Array(3)]) {
        assert.throws(() => set(sd, quic.QUIC_SOCKOPT_CONNECTION_MIGRATION, wrong), hasCode("EINVAL"));
      }
      return quic.quic_server_handshake(sd, SERVER);
    };
    await live({ serverHandshake }, async (both) => {
      const move = (): void => set(both.server, quic.QUIC_SOCKOPT_CONNECTION_MIGRATION, sockaddr(HOST, 9));
      assert.throws(move, hasCode("EINVAL"));
      assert.ok(await echoes(both, "still here"));
    });
  });
});
