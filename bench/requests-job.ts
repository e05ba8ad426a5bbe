/** What the programs of the requests benchmark are told and say, and the load that each client makes. */

import { ownJob } from "./child.js";
import { cpuMicros, repeat } from "./load.js";
import type { Target } from "./loopback.js";

export const SHAPES = ["read", "iterator", "duplex", "http2"] as const;
export type Shape = (typeof SHAPES)[number];

export interface RequestsJob {
  role: "server" | "client";
  shape: Shape;
  payloadBytes: number;
  inFlight: number;
  server?: Target;
}

export interface RequestsResult {
  millis: number;
}

/** Of a program: its job. Asked for `load`, it makes as many calls of `request`, which returns the bytes that came back. */
export function ownRequestsJob(request: () => Promise<number>): RequestsJob {
  const checked = async (): Promise<void> => {
    const bytes = await request();
    if (bytes !== job.payloadBytes) throw new Error(`${bytes} bytes came back, not ${job.payloadBytes}`);
  };
  const job = ownJob<RequestsJob>({
    cpuMicros,
    load: async (count): Promise<RequestsResult> => {
      const started = performance.now();
      await repeat(Number(count), job.inFlight, checked);
      return { millis: performance.now() - started };
    },
  });
  return job;
}
