/** The public entry point `netquic/offload`: the UDP ULP `quic-crypto` in user space. */

import { watchOffload } from "../control/watch.js";
import { sharedDatapath } from "../datapath.js";
import { newQuicStat, type QuicStat } from "./counters.js";
import { KeyRing } from "./key-ring.js";
import { type OffloadCore, OffloadSocket, type OpenOptions } from "./socket.js";

export {
  type CipherName,
  MAX_CIPHER_BYTES,
  MAX_GSO_SEGMENTS,
  MAX_IOVECS,
  MAX_PLAINTEXT_BYTES,
  QUIC_BYPASS_ENCRYPTION,
  QUIC_CRYPTO,
  TLS_CIPHER_AES_CCM_128,
  TLS_CIPHER_AES_GCM_128,
  TLS_CIPHER_AES_GCM_256,
  TLS_CIPHER_CHACHA20_POLY1305,
} from "./constants.js";
export type { QuicStat } from "./counters.js";
export { type OffloadCall, OffloadError, type OffloadErrorCode } from "./error.js";
export type { FlowKey, FlowSecrets, FlowToDelete, RxFlow, RxFlowToDelete, TxFlow } from "./flow-info.js";
export type { OpenedPacket, ReceivedPacket } from "./receive.js";
export type { SendOptions } from "./send-options.js";
export { OffloadSocket, type OpenOptions } from "./socket.js";

let core: OffloadCore | null = null;
const stat = newQuicStat();

/**
 * Opens a UDP socket, `0.0.0.0` and a port of the kernel's choice by default. Rejects with the system's code (`EADDRINUSE`,
 * `EACCES`, ...) or, where the datapath was forced to be native, with `ERR_NETQUIC_NO_ADDON`.
 */
export async function openSocket(options: OpenOptions = {}): Promise<OffloadSocket> {
  if (core === null) {
    const { udp, aead } = sharedDatapath();
    core = { udp, aead, keys: new KeyRing(aead), stat };
    watchOffload(stat);
  }
  return await OffloadSocket.open(core, options);
}

/** The counters of this process, as they stand now. */
export function quicStat(): QuicStat {
  return { ...stat };
}
