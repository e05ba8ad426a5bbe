/** `netquic/socket` on ports of a host: one program through the system calls' names, another one through netquic. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { fileOf } from "#src/api/socket/descriptors.js";
import * as quic from "#src/api/socket/index.js";
import { content, testCa, testLeaf } from "../api/support.js";
import { TestHost, until } from "./support.js";

const { promises } = quic;
const { cert, key } = testLeaf();
const NEW_FIN = quic.MSG_QUIC_STREAM_NEW | quic.MSG_QUIC_STREAM_FIN;

async function listener(host: TestHost, alpn: string, set: (sd: number) => void = () => {}): Promise<number> {
  const sd = quic.socket(quic.AF_INET, quic.SOCK_DGRAM);
  quic.setsockopt(sd, quic.SOL_QUIC, quic.QUIC_SOCKOPT_ALPN, alpn);
  set(sd);
  try {
    await quic.bind(sd, { address: "127.0.0.1", port: host.port, host: host.path });
    await quic.listen(sd, 16);
  } catch (error) {
    quic.close(sd);
    throw error;
  }
  return sd;
}

async function exchange(host: TestHost, listening: number, alpn: string): Promise<void> {
  const client = quic.socket(quic.AF_INET, quic.SOCK_DGRAM);
  quic.setsockopt(client, quic.SOL_QUIC, quic.QUIC_SOCKOPT_ALPN, alpn);
  await quic.connect(client, { address: "127.0.0.1", port: host.port });
  const serving = promises.accept(listening).then(async (child) => {
    await quic.quic_server_handshake(child, { cert, key });
    return child;
  });
  await quic.quic_client_handshake(client, { serverName: "localhost", ca: [testCa().cert] });
  const server = await serving;
  const data = content(300_000);
  const sending = promises.sendmsg(client, { data, flags: 0, stream: { stream_id: 0, stream_flags: NEW_FIN } });
  const parts: Uint8Array[] = [];
  for (let fin = 0; fin === 0; ) {
    const message = await promises.recvmsg(server, 65_536);
    parts.push(message.data);
    fin = (message.stream?.stream_flags ?? 0) & quic.MSG_QUIC_STREAM_FIN;
  }
  await sending;
  assert.ok(Buffer.concat(parts).equals(data));
  assert.equal(quic.getsockname(server).port, host.port);
  for (const sd of [client, server]) quic.close(sd);
}

describe("netquic/socket on a port of a host", () => {
  test("two listeners of one process and one host each get their clients", async () => {
    using host = await new TestHost().start({ places: [{ address: "127.0.0.1", port: 0, ipv6Only: false }] });
    const listening = [await listener(host, "smbd"), await listener(host, "ksmbd,sample")];
    await exchange(host, listening[0] as number, "smbd");
    await exchange(host, listening[1] as number, "sample");
    await assert.rejects(listener(host, "sample"), { code: "EADDRINUSE" });
    for (const sd of listening) quic.close(sd);
    await until(() => host.host.programCount === 0);
  });

  test("a listener that validates addresses has the host do it", async () => {
    using host = await new TestHost().start({ places: [{ address: "127.0.0.1", port: 0, ipv6Only: false }] });
    const config = quic.structs.config.encode({ validate_peer_address: 1 });
    const listening = await listener(host, "smbd", (sd) =>
      quic.setsockopt(sd, quic.SOL_QUIC, quic.QUIC_SOCKOPT_CONFIG, config),
    );
    await exchange(host, listening, "smbd");
    assert.ok(host.host.counters.retriesSent >= 1);
    quic.close(listening);
  });

  for (const reusePort of [0, 1]) {
    test(`calls on one socket come one after the other, while the host thinks, too; SO_REUSEPORT ${reusePort}`, async () => {
      using host = await new TestHost().start({ places: [{ address: "127.0.0.1", port: 0, ipv6Only: false }] });
      const sd = quic.socket(quic.AF_INET, quic.SOCK_DGRAM);
      quic.setsockopt(sd, quic.SOL_QUIC, quic.QUIC_SOCKOPT_ALPN, "smbd");
      quic.setsockopt(sd, quic.SOL_SOCKET, quic.SO_REUSEPORT, reusePort);
      const address = { address: "127.0.0.1", port: host.port, host: host.path };
      const peer = { address: "127.0.0.1", port: host.port };
      const calls = [quic.bind(sd, address), quic.bind(sd, address), quic.listen(sd, 1), quic.connect(sd, peer)];
      calls.push(quic.listen(sd, 0), quic.listen(sd, 0), quic.listen(sd, 1), quic.listen(sd, 2));
      const ended = (await Promise.allSettled(calls)).map((end) => (end.status === "rejected" ? end.reason.code : ""));
      assert.deepEqual(ended, ["", "EINVAL", "", "EINVAL", "", "EINVAL", "", ""]);
      const listeners = fileOf(sd, "test").port?.listeners;
      assert.equal(listeners?.size, 1);
      await exchange(host, sd, "smbd");
      const last = [quic.listen(sd, 0), quic.listen(sd, 1)];
      quic.close(sd);
      const codes = (await Promise.allSettled(last)).map((end) => (end.status === "rejected" ? end.reason.code : ""));
      assert.deepEqual(codes, ["", "EBADF"]);
      assert.equal(listeners?.size, 0);
    });
  }

  test("where no host answers, bind says so", async () => {
    const sd = quic.socket(quic.AF_INET, quic.SOCK_DGRAM);
    await assert.rejects(quic.bind(sd, { address: "127.0.0.1", port: 0, host: "/nowhere/host.sock" }), {
      code: "ENOENT",
    });
    quic.close(sd);
  });
});
