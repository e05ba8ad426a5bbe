/** The control socket shows the endpoints of every door of the package, each with what only that door knows. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { type Program, surveyPrograms } from "#src/api/control/client.js";
import { connect as connectNet, createServer } from "#src/api/net/index.js";
import { openSocket } from "#src/api/offload/index.js";
import { secrets } from "#src/api/offload/reference.contract.js";
import * as quic from "#src/api/socket/index.js";
import { pause, testCa, testLeaf } from "./support.js";

const dir = mkdtempSync(join(tmpdir(), "netquic-doors-"));
process.env["NETQUIC_RUNTIME_DIR"] = dir;
after(() => rmSync(dir, { recursive: true, force: true }));

async function ask(): Promise<Program> {
  const { programs, failures } = await surveyPrograms([dir], { ask: "sockets", details: true });
  assert.deepEqual([programs.length, failures], [1, []]);
  return programs[0] as Program;
}

function addressText({ address, port }: { address: string; port: number }): string {
  return `${address}:${port}`;
}

test("netquic/socket: who waits for accept, the protocols of either side, Linux's buffers", async () => {
  const listener = quic.socket(quic.AF_INET, quic.SOCK_DGRAM);
  quic.setsockopt(listener, quic.SOL_QUIC, quic.QUIC_SOCKOPT_ALPN, "smbd, h3");
  await quic.bind(listener, { address: "127.0.0.1", port: 0 });
  await quic.listen(listener, 3);
  const local = addressText(quic.getsockname(listener));
  const rows = async (): Promise<Program["sockets"]> => (await ask()).sockets.filter(({ api }) => api === "socket");
  const shown = (await rows()).map(({ state, alpn, backlog, waiting, ...row }) => [
    state,
    row.local,
    alpn,
    backlog,
    waiting,
  ]);
  assert.deepEqual(shown, [["LISTEN", local, ["smbd", "h3"], 3, 0]]);

  const client = quic.socket(quic.AF_INET, quic.SOCK_DGRAM);
  quic.setsockopt(client, quic.SOL_QUIC, quic.QUIC_SOCKOPT_ALPN, "h3");
  quic.setsockopt(client, quic.SOL_SOCKET, quic.SO_SNDBUF, 123_456);
  await quic.connect(client, { address: "127.0.0.1", port: quic.getsockname(listener).port });
  const handshake = quic.quic_client_handshake(client, { serverName: "localhost", ca: [testCa().cert] });
  handshake.catch(() => {});
  for (let i = 0; i < 100 && (await rows())[0]?.waiting !== 1; i++) await pause(20);
  const [listening, ...ends] = await rows();
  assert.equal(listening?.waiting, 1);
  const clientEnd = ends.find(({ role }) => role === "client");
  const serverEnd = ends.find(({ role }) => role === "server");
  assert.deepEqual([clientEnd?.state, clientEnd?.alpn, clientEnd?.sendBufferBytes], ["SYN-RECV", ["h3"], 123_456]);
  assert.equal(clientEnd?.recvBufferBytes, 4 * 2_097_120);
  assert.deepEqual([serverEnd?.state, serverEnd?.local], ["SYN-RECV", local]);
  quic.close(client);
  assert.ok(
    (await rows()).every(({ role, state }) => role !== "client" || state === "CLOSING" || state === "TIME-WAIT"),
  );
  quic.close(listener);
  assert.deepEqual(
    (await rows()).filter(({ state }) => state === "LISTEN"),
    [],
  );
});

test("netquic/net: a server with its names, and the connections", async () => {
  const { cert, key } = testLeaf();
  const server = createServer({ cert, key, ALPNProtocols: ["own"] }, (accepted) => accepted.on("error", () => {}));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const socket = connectNet({
    ...server.address(),
    host: "127.0.0.1",
    ca: testCa().cert,
    ALPNProtocols: ["own"],
  } as never);
  await once(socket, "connect");
  const rows = (await ask()).sockets.filter(({ api }) => api === "net");
  assert.deepEqual(
    rows.map(({ role, state, alpn }) => [role, state, alpn]),
    [
      ["listener", "LISTEN", ["own"]],
      ["server", "ESTAB", ["own"]],
      ["client", "ESTAB", ["own"]],
    ],
  );
  socket.destroy();
  server.close();
  for (const session of server.sessions) session.destroy();
});

test("netquic/offload: flows now and ever", async () => {
  const socket = await openSocket({ address: "127.0.0.1" });
  socket.attach("quic-crypto");
  const flow = { ...secrets("aes-128-gcm", "a"), address: "127.0.0.1", port: 9, cid: new Uint8Array(8) };
  socket.addTxFlow(flow);
  assert.deepEqual(offloadOf(await ask()), [1, 1, 0]);
  socket.deleteTxFlow(flow);
  assert.deepEqual(offloadOf(await ask()), [0, 1, 0]);
  socket.close();
});

function offloadOf({ counters }: Program): number[] {
  return [counters.QuicCurrTxSw, counters.QuicTxSw, counters.QuicTxSwError];
}
