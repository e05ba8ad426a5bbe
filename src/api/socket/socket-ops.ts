/** What socket options do below the socket: ids, addresses and tokens of its connection (socket/sockopt, SockOps). */

import { ADDR_COLS, ADDR_IP0, ADDR_LOCAL_IP0, ADDR_PORT } from "../../port/udp.js";
import { isMappedIpv4, wordsToAddress } from "../../runtime/address.js";
import { EAGAIN, EINVAL, EOPNOTSUPP } from "../../socket/errno.js";
import { QUIC_SS_ESTABLISHED } from "../../socket/numbers.js";
import { rowOfSockaddr } from "../../socket/sockaddr.js";
import type { SockOps } from "../../socket/sockopt.js";
import { connectionIdInfo } from "../../socket/structs.js";
import { peerParamValue } from "./connection-config.js";
import type { SocketFile } from "./socket-file.js";

export function opsOf(file: SocketFile): SockOps {
  return {
    peerParams: () => {
      const params = file.conn?.handshakeState.peerParams ?? null;
      return params === null ? null : peerParamValue(params);
    },
    sendToken: () => sendToken(file),
    migrate: (sockaddr) => migrate(file, sockaddr),
    connectionId: (dest) => {
      const { conn } = file;
      if (conn === null) return connectionIdInfo.decode(new Uint8Array(0));
      const lowest = dest ? conn.peerIds.lowestSeq : (conn.localIds.live[0]?.seq ?? 0);
      const active = dest ? conn.peerIds.currentSeq : lowest;
      return { dest: Number(dest), active, prior_to: lowest };
    },
    setConnectionId: (info) => retireIds(file, info),
  };
}

function sendToken({ conn, port }: SocketFile): number {
  const token = conn === null ? null : (port?.host?.endpoint.newToken(conn.versions.current, conn.path.addr) ?? null);
  if (conn === null || token === null) return -EINVAL;
  if (conn.control.hasNewToken) return -EAGAIN;
  conn.control.sendNewToken(token);
  conn.host.schedule(conn);
  return 0;
}

/** The peer's ids below `prior_to` are given back, one move for each. Which of ours the peer uses is its own choice. */
function retireIds({ conn }: SocketFile, { dest, prior_to, active }: ReturnType<SockOps["connectionId"]>): number {
  if (conn === null) return -EINVAL;
  if (dest === 0) return -EOPNOTSUPP;
  const { peerIds } = conn;
  const until = Math.max(prior_to, active);
  const last = peerIds.lowestSeq + peerIds.activeCount - 1;
  if (until <= peerIds.lowestSeq || until > last) return -EINVAL;
  while (peerIds.currentSeq < until && peerIds.rotate());
  conn.host.schedule(conn);
  return 0;
}

/** Goes to another local address of the same family; what came of it is an event. */
function migrate({ conn, port, sock }: SocketFile, sockaddr: Uint8Array): number {
  const row = rowOfSockaddr(sockaddr);
  const host = port?.host ?? null;
  if (row === null || conn === null || host === null || conn.isServer) return -EINVAL;
  if (sock.state !== QUIC_SS_ESTABLISHED || row[ADDR_PORT] === 0) return -EINVAL;
  if (isMappedIpv4(row, 0) !== isMappedIpv4(conn.path.addr, 0)) return -EINVAL;
  if (isHere(row, conn.path.addr, host.socketOf(conn.path.socket)?.port ?? 0)) return -EINVAL;
  if (conn.handshakeState.peerParams?.disableActiveMigration === true) return -EINVAL;
  if (conn.moves.own !== null && conn.moves.own.attempts.length > 0) return -EAGAIN;
  const local = new Int32Array(ADDR_COLS);
  for (let i = 0; i < 4; i++) local[ADDR_LOCAL_IP0 + i] = row[ADDR_IP0 + i] as number;
  const target = { local, isIpv4: isMappedIpv4(row, 0), force: false };
  host.addSocket({ address: wordsToAddress(row, 0), port: row[ADDR_PORT] as number }).then(
    (socket) => {
      conn.migrate({ ...target, socket }, host.now());
      host.releaseSocket(socket);
    },
    () => {}, // a port that cannot be had: the connection stays where it is
  );
  return 0;
}

function isHere(row: Int32Array, path: Int32Array, port: number): boolean {
  if (row[ADDR_PORT] !== port) return false;
  for (let i = 0; i < 4; i++) if (row[ADDR_IP0 + i] !== path[ADDR_LOCAL_IP0 + i]) return false;
  return true;
}
