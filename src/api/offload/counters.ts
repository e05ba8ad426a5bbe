/** The counters of `/proc/net/quic_stat`, for this process: what the offload keeps now, has kept, and has refused. */

export interface QuicStat {
  /** Transmit flows installed now. */
  QuicCurrTxSw: number;
  /** Transmit flows installed ever. */
  QuicTxSw: number;
  /** Packets that were to be protected and were refused: at least one for each refused send. */
  QuicTxSwError: number;
  /** Receive flows installed now. */
  QuicCurrRxSw: number;
  /** Receive flows installed ever. */
  QuicRxSw: number;
  /** Packets of a receive flow that did not open. */
  QuicRxSwError: number;
}

export function newQuicStat(): QuicStat {
  return { QuicCurrTxSw: 0, QuicTxSw: 0, QuicTxSwError: 0, QuicCurrRxSw: 0, QuicRxSw: 0, QuicRxSwError: 0 };
}
