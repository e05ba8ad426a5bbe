import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Program } from "../../api/control/client.js";
import { noCounters } from "../../api/control/counters.js";
import type { SocketRow } from "../../api/control/rows.js";
import { listSockets } from "./listed.js";
import { parseSs } from "./options.js";
import { procLines } from "./proc.js";
import { tableLines } from "./table.js";

const ROW: SocketRow = {
  inode: 0x100002,
  api: "quic",
  state: "ESTAB",
  role: "server",
  local: "127.0.0.1:4433",
  remote: "127.0.0.1:50000",
  udp: "0.0.0.0:4433",
  alpn: ["h3"],
  serverNames: [],
  waiting: 0,
  backlog: 0,
  recvQueueBytes: 11,
  sendQueueBytes: 22,
  recvBufferBytes: 33,
  sendBufferBytes: 44,
  heldBytes: 55,
  cwndBytes: 12_000,
  mssBytes: 1200,
  inFlightBytes: 66,
  uid: 1000,
};
const INFO = {
  ...{ pid: 1, name: "server.js", uid: 1000, node: "v20", netquic: "1", tls: "gnutls", datapath: "native" },
  ...{ startedAtMillis: 0, rssBytes: 0 },
};

function program(...sockets: SocketRow[]): Program {
  return { info: INFO, counters: { ...noCounters(), QuicFrmRetrans: 3 }, heldBytes: 0, sockets };
}

function lines(args: string[], width: number, ...sockets: SocketRow[]): string[] {
  return [...tableLines(listSockets([program(...sockets)]), parseSs(args), width)];
}

const LISTENER: SocketRow = {
  ...ROW,
  state: "LISTEN",
  role: "listener",
  local: "[::]:443",
  remote: "",
  waiting: 2,
  backlog: 9,
};

describe("the table", () => {
  test("addresses end where their ports begin; a listener shows who waits and how many may", () => {
    assert.deepEqual(lines(["-np"], Infinity, LISTENER, ROW), [
      "State  Recv-Q Send-Q Local Address:Port Peer Address:Port  ALPN Process",
      'LISTEN 2      9               [::]:443          [::]:*     h3   users:(("server.js",pid=1))',
      'ESTAB  11     22         127.0.0.1:4433    127.0.0.1:50000 h3   users:(("server.js",pid=1))',
    ]);
  });

  test("a terminal that is too narrow has the last columns on a line of their own", () => {
    const long = lines(["-np"], 80, ROW);
    assert.deepEqual(long.slice(2), [
      "ESTAB 11     22         127.0.0.1:4433    127.0.0.1:50000",
      '\th3   users:(("server.js",pid=1))',
    ]);
    const needed = lines(["-np"], Infinity, ROW)[1]?.length ?? 0;
    assert.equal(lines(["-np"], needed, ROW).length, 2);
    assert.equal(lines(["-np"], needed - 1, ROW).length, 4);
    assert.equal(lines(["-nH"], 80, ROW).length, 1);
  });

  test("text of other programs cannot steer the terminal", () => {
    const [line] = lines(["-Hn"], Infinity, { ...ROW, alpn: ["\u001b[2J", "a b"] });
    assert.equal(line?.includes("\u001b"), false);
    assert.equal(line?.split(/ +/).length, 6, "no name makes a column");
  });

  test("-m says what queues hold and may hold", () => {
    assert.equal(lines(["-Hnm"], Infinity, ROW)[1], "\tskmem:(r11,rb33,t22,tb44,held55)");
  });
});

describe("the tables of procfs", () => {
  test("conns: names, order and tabs of the original; what is closed is not in it", () => {
    const closed: SocketRow = { ...ROW, state: "CLOSING" };
    assert.deepEqual(
      [...procLines("conns", [program(LISTENER, ROW, closed)])],
      [
        "SOCK\tSTATE\tLOCAL_ADDRESS\tREMOTE_ADDRESS\tUDP_ADDRESS\tWINDOW\tMSS\tIN_FLIGHT\tTX_QUEUE\tRX_QUEUE\tSNDBUF\tRCVBUF\tUID\tINODE",
        "0000000000100002\t1\t127.0.0.1:4433\t127.0.0.1:50000\t0.0.0.0:4433\t12000\t1200\t66\t22\t11\t44\t33\t1000\t1048578",
      ],
    );
  });

  test("what a program says of itself stays in its cell: no line, no tab, no escape of its own", () => {
    const said = "x\ty\nz\u001b[2J\u009b";
    const lying = { ...ROW, local: said, remote: said, udp: said };
    const lines = [
      ...procLines("conns", [program(lying)]),
      ...procLines("eps", [program({ ...lying, state: "LISTEN" })]),
    ];
    assert.equal(lines.length, 4);
    assert.deepEqual(lines[1]?.split("\t").slice(2, 5), Array(3).fill("x y z [2J"));
    assert.deepEqual(lines[3]?.split("\t").slice(2, 4), Array(2).fill("x y z [2J"));
  });

  test("eps: listeners only", () => {
    assert.deepEqual(
      [...procLines("eps", [program(LISTENER, ROW)])],
      [
        "SOCK\tSTATE\tLOCAL_ADDRESS\tUDP_ADDRESS\tUID\tINODE",
        "0000000000100002\t10\t[::]:443\t0.0.0.0:4433\t1000\t1048578",
      ],
    );
  });

  test("snmp: 19 counters and 3 of the Tx offload, summed over programs", () => {
    const all = [...procLines("snmp", [program(), program()])];
    assert.equal(all.length, 22);
    assert.deepEqual(
      [all[0], all[16], all[18], all[21]],
      ["QuicConnCurrentEstabs\t0", "QuicFrmRetrans\t6", "QuicFrmInCloses\t0", "QuicTxSwError\t0"],
    );
  });
});
