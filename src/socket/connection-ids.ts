/**
 * Option CONNECTION_ID: the ids of either side by number, and which of them shall not be used any more. `dest` means those
 * that the peer gave us. 0 in `active` or `prior_to` leaves that as it is.
 *
 * Invariant: a set that is refused changes nothing, and no set takes the last id.
 */

import { EAGAIN, EINVAL } from "./errno.js";
import { QUIC_SS_ESTABLISHED } from "./numbers.js";
import type { QuicSock } from "./sock.js";
import { connectionIdInfo } from "./structs.js";

/** Zeros before there is a connection. */
export function getConnectionIds({ attached, sourceActive }: QuicSock, value: Uint8Array): Uint8Array {
  const { dest } = connectionIdInfo.decode(value);
  if (attached === null) return connectionIdInfo.encode({ dest });
  const { lowest, active } = attached.details.connectionIds(dest !== 0);
  const used = dest === 0 ? Math.max(active, sourceActive) : active;
  return connectionIdInfo.encode({ dest, active: used, prior_to: lowest });
}

/**
 * 0, -EINVAL, or -EAGAIN: for `dest` while a path is asked, for our own while the peer has not given back earlier ones. For
 * our own `active` is a note of the program's: which id packets to us carry is the peer's choice.
 */
export function setConnectionIds(sock: QuicSock, value: Uint8Array): number {
  if (sock.state !== QUIC_SS_ESTABLISHED || sock.attached === null) return -EINVAL;
  const { details } = sock.attached;
  const { dest, active, prior_to } = connectionIdInfo.decode(value);
  const isPeers = dest !== 0;
  if (isPeers && details.isMoving) return -EAGAIN;
  const ids = details.connectionIds(isPeers);
  const now = isPeers ? ids.active : Math.max(ids.active, sock.sourceActive);
  if (active === 0 && prior_to === 0) return -EINVAL;
  if (active !== 0 && (active <= now || active > ids.highest)) return -EINVAL;
  if (prior_to !== 0 && (prior_to <= ids.lowest || prior_to > ids.highest)) return -EINVAL;
  if (active !== 0 && isPeers && !details.useConnectionId(active)) return -EINVAL;
  if (prior_to !== 0 && !details.retireConnectionIds(isPeers, prior_to)) return -EAGAIN;
  if (active !== 0 && !isPeers) sock.sourceActive = active;
  return 0;
}
