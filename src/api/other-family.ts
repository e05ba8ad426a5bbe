/**
 * A server may prefer an address of the other family only (RFC 9000 §9.6). A client that lets the system choose its address
 * takes a socket of that family, opened now unless it has one of both, and asks from there; data follows when that answers.
 */

import { ADDR_COLS } from "../port/udp.js";
import { isMappedIpv4 } from "../runtime/address.js";
import { type Connection, type EndpointHost, prefersOtherFamily } from "../runtime/loop.js";

/** The handshake is confirmed. A machine that has no such family stays where it is (RFC 9000 §9.6.2). */
export async function tryOtherFamily(host: EndpointHost, conn: Connection): Promise<void> {
  const { socket: number, addr } = conn.path;
  const here = host.socketOf(number)?.address;
  if (!prefersOtherFamily(conn) || (here !== "::" && here !== "0.0.0.0")) return;
  const target = { local: new Int32Array(ADDR_COLS), isIpv4: !isMappedIpv4(addr, 0), force: false };
  if (here === "::") {
    conn.migrate({ ...target, socket: number }, host.now());
    return;
  }
  try {
    const socket = await host.addSocket({ address: "::", port: 0, ipv6Only: true });
    // the program may have moved meanwhile
    if (prefersOtherFamily(conn)) conn.migrate({ ...target, socket }, host.now());
    host.releaseSocket(socket);
  } catch {
    // no IPv6 here
  }
}
