/** Calls that wait: they try, and again whenever something happened, until a timeout or an AbortSignal ends it. */

import { EAGAIN } from "../../socket/errno.js";
import { socketError, wouldBlock } from "./system-error.js";

export interface WaitOptions {
  signal?: AbortSignal;
}

/** Calls that wait for one descriptor. */
export class Waiters {
  private readonly waiters = new Set<() => void>();

  /** Calls of which one may go on now. */
  wake(): void {
    for (const waiter of [...this.waiters]) waiter();
  }

  /** Calls `waiter` whenever something happened; the result ends that. */
  onWake(waiter: () => void): () => void {
    this.waiters.add(waiter);
    return () => this.waiters.delete(waiter);
  }
}

/** What `attempt` returns once it throws nothing that `isWorthWaiting`. `timeoutMillis` 0 = for ever; past it EAGAIN. */
export function waitFor<R>(
  file: Pick<Waiters, "onWake">,
  syscall: string,
  timeoutMillis: number,
  { signal }: WaitOptions,
  attempt: () => R,
  isWorthWaiting: (error: unknown) => boolean = wouldBlock,
): Promise<R> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    let timer: NodeJS.Timeout | null = null;
    let stop = (): void => {};
    const end = (settle: () => void): void => {
      stop();
      if (timer !== null) clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
      settle();
    };
    const onAbort = (): void => end(() => reject(signal?.reason as Error));
    const again = (): void => {
      try {
        const result = attempt();
        end(() => resolve(result));
      } catch (error) {
        if (!isWorthWaiting(error)) end(() => reject(error as Error));
      }
    };
    stop = file.onWake(again);
    signal?.addEventListener("abort", onAbort, { once: true });
    if (timeoutMillis > 0) {
      timer = setTimeout(() => end(() => reject(socketError(syscall, -EAGAIN))), timeoutMillis);
    }
    again();
  });
}
