/** What the programs of the requests benchmark are told and say. */
export const SHAPES = ["read", "iterator", "duplex", "http2"] as const;
export type Shape = (typeof SHAPES)[number];

export interface RequestsJob {
  role: "server" | "client";
  shape: Shape;
  payloadBytes: number;
  inFlight: number;
  server?: { port: number; ca: string };
}

export interface RequestsResult {
  millis: number;
}
