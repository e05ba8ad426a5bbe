/** The sockets of all programs in one list. */

import { isIP } from "node:net";
import type { Program } from "../../api/control/client.js";
import type { ProgramInfo } from "../../api/control/protocol.js";
import type { SocketRow } from "../../api/control/rows.js";

export interface End {
  /** Literal, without brackets; "" for a listener's peer. */
  address: string;
  port: number;
}

export interface ListedSocket {
  program: ProgramInfo;
  row: SocketRow;
  local: End;
  remote: End;
}

export function listSockets(programs: readonly Program[]): ListedSocket[] {
  return programs.flatMap(({ info, sockets }) =>
    sockets.map((row) => ({ program: info, row, local: endOf(row.local), remote: endOf(row.remote) })),
  );
}

/** `127.0.0.1:443`, `[::1]:443`; what is none of them has no address. */
function endOf(text: string): End {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):([0-9]{1,5})$/.exec(text);
  const address = match?.[1] ?? match?.[2] ?? "";
  return isIP(address) === 0 ? { address: "", port: 0 } : { address, port: Number(match?.[3]) };
}
