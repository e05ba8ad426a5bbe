/** What the operator's limits on memory ask of connections now. One object for all of a process, which its owner keeps true. */

export interface MemoryPressure {
  /** A receive window that is used up becomes so many times as large, if its maximum allows: 1 to 2. */
  windowGrowth: number;
  /** No room for new connections: clients are refused. */
  refusesConnections: boolean;
}

/** Windows double, and everybody is taken. */
export const NO_PRESSURE: Readonly<MemoryPressure> = { windowGrowth: 2, refusesConnections: false };
