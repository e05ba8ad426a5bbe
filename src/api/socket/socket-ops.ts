/** What socket options do below the socket: ids, addresses and tokens of its connection (socket/sockopt, SockOps). */

import { createHmac, randomBytes } from "node:crypto";
import { ADDR_COLS, ADDR_IP0, ADDR_IP3, ADDR_LOCAL_IP0, ADDR_PORT } from "../../port/udp.js";
import { isMappedIpv4, wordsToAddress } from "../../runtime/address.js";
import { ConnectionDetails, restoreParams } from "../../runtime/loop.js";
import { EAGAIN, EINVAL } from "../../socket/errno.js";
import { QUIC_SS_ESTABLISHED, QUIC_SS_ESTABLISHING } from "../../socket/numbers.js";
import { rowOfSockaddr } from "../../socket/sockaddr.js";
import type { SockOps } from "../../socket/sockopt.js";
import { connectionConfig, paramsOfValue, peerParamValue } from "./connection-config.js";
import { addFile } from "./descriptors.js";
import { StreamFile } from "./stream-file.js";
import type { SocketFile } from "./socket-file.js";

/** Of this process: a server's tickets open as long as it runs. */
const ticketSecret = randomBytes(32);

export function opsOf(file: SocketFile): SockOps {
  return {
    peerParams: () => {
      const params = file.conn?.handshakeState.peerParams ?? null;
      return params === null ? null : peerParamValue(params);
    },
    open: (stream) => addFile(new StreamFile(file, stream)),
    applySettings: () => void applySettings(file),
    restoreParams: (value) => (file.conn !== null && restoreParams(file.conn, paramsOfValue(value)) ? 0 : -EINVAL),
    sendToken: () => sendToken(file),
    ticketKey: () => ticketKey(file),
    migrate: (sockaddr) => migrate(file, sockaddr),
  };
}

/** False once the handshake has begun. */
function applySettings({ conn, port, sock }: SocketFile): boolean {
  const host = port?.host ?? null;
  if (conn === null || host === null) return false;
  return new ConnectionDetails(conn).reconfigure(connectionConfig(sock), host.now());
}

function sendToken({ conn, port }: SocketFile): number {
  const token = conn === null ? null : (port?.host?.endpoint.newToken(conn.versions.current, conn.path.addr) ?? null);
  if (conn === null || token === null) return -EINVAL;
  if (conn.control.hasNewToken) return -EAGAIN;
  conn.control.sendNewToken(token);
  conn.host.schedule(conn);
  return 0;
}

/** Tickets of one client open with one key, from whatever port it comes. */
function ticketKey({ conn }: SocketFile): Uint8Array {
  const address = new Uint8Array(conn?.path.addr.slice(ADDR_IP0, ADDR_IP3 + 1).buffer ?? new ArrayBuffer(0));
  return createHmac("sha512", ticketSecret).update("session_ticket").update(address).digest();
}

/** Goes to another local address of the same family; what came of it is an event. */
function migrate(file: SocketFile, sockaddr: Uint8Array): number {
  const { conn, port, sock } = file;
  const row = rowOfSockaddr(sockaddr);
  const host = port?.host ?? null;
  if (row === null || conn === null || host === null || row[ADDR_PORT] === 0) return -EINVAL;
  if (isHere(row, conn.path.addr, host.socketOf(conn.path.socket)?.port ?? 0)) return -EINVAL;
  if (conn.isServer && sock.state === QUIC_SS_ESTABLISHING) return prefer(file, row);
  // RFC 9000 §9: a server stays where it is
  if (conn.isServer || sock.state !== QUIC_SS_ESTABLISHED) return -EINVAL;
  if (isMappedIpv4(row, 0) !== isMappedIpv4(conn.path.addr, 0)) return -EINVAL;
  if (conn.handshakeState.peerParams?.disableActiveMigration === true) return -EINVAL;
  const { own } = conn.moves;
  // RFC 9000 §9, §9.5: until the server has confirmed the handshake, and without an id for the new path
  if (!conn.handshakeState.confirmed || !conn.peerIds.hasSpare) return -EAGAIN;
  if (file.opening !== null || own?.isAsking === true || own?.isOnPreferred === true) return -EAGAIN;
  const local = new Int32Array(ADDR_COLS);
  for (let i = 0; i < 4; i++) local[ADDR_LOCAL_IP0 + i] = row[ADDR_IP0 + i] as number;
  const target = { local, isIpv4: isMappedIpv4(row, 0), force: false };
  file.opening = host.addSocket({ address: wordsToAddress(row, 0), port: row[ADDR_PORT] as number }).then(
    (socket) => {
      file.opening = null;
      conn.migrate({ ...target, socket }, host.now());
      host.releaseSocket(socket);
      return null;
    },
    (error: Error) => {
      file.opening = null;
      return error; // the connection stays where it is
    },
  );
  return 0;
}

/** A server's address for after the handshake (RFC 9000 §9.6): one of each family, while the client does not know any yet. */
function prefer(file: SocketFile, row: Int32Array): number {
  const { accepted, port } = file;
  if (accepted === null || port === null) return -EINVAL;
  const before = accepted.preferred;
  const undo = (): void => {
    if (before === undefined) delete accepted.preferred;
    else accepted.preferred = before;
  };
  const family = isMappedIpv4(row, 0) ? "ipv4" : "ipv6";
  accepted.preferred = { ipv4: null, ipv6: null, ...before, [family]: row };
  if (!applySettings(file)) {
    undo();
    return -EINVAL;
  }
  file.opening = port.serveAt(wordsToAddress(row, 0), row[ADDR_PORT] as number).then(
    () => null,
    (error: Error) => {
      undo(); // a client that knows it already asks in vain, and stays
      applySettings(file);
      return error;
    },
  );
  return 0;
}

/** A socket that is bound to any address is at each of them. */
function isHere(row: Int32Array, path: Int32Array, port: number): boolean {
  if (row[ADDR_PORT] !== port) return false;
  const local = path.subarray(ADDR_LOCAL_IP0, ADDR_LOCAL_IP0 + 4);
  return local[3] === 0 || local.every((word, i) => word === row[ADDR_IP0 + i]);
}
