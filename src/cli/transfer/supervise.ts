/**
 * The frame around one side of a transfer: whatever fails first (the work, a task beside it, the connection, the caller's
 * signal) ends all of it once, tells the peer, and leaves no unfinished file.
 */

import { Failure, toFailure } from "../failure.js";
import type { Link } from "./link.js";

/** Starts a task beside the work; its failure ends the transfer. */
export type Spawn = (task: Promise<unknown>) => void;

/** Runs `work` to its result. On the first failure `cleanup` runs, then this rejects with it. */
export async function supervise<T>(
  link: Link,
  signal: AbortSignal,
  work: (spawn: Spawn) => Promise<T>,
  cleanup: () => Promise<void>,
): Promise<T> {
  let fail: (error: unknown) => void = () => {};
  const failed = new Promise<never>((_, reject) => {
    fail = reject;
  });
  const onAbort = () => fail(signal.reason);
  const early = () => fail(new Failure("the peer closed the connection before the transfer was complete", BY_PEER));
  signal.addEventListener("abort", onAbort, { once: true });
  link.closed.then(early, fail);
  try {
    signal.throwIfAborted();
    return await Promise.race([failed, work((task) => void task.catch(fail))]);
  } catch (error) {
    const failure = toFailure(error);
    link.abort(failure.message);
    await cleanup();
    throw failure;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

const BY_PEER = { byPeer: true };
