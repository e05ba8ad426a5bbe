/** The public entry point `netquic`: names of `node:quic`; what is ours stands under `ext`. */

export { QuicError, type QuicErrorOptions } from "../errors.js";
export type { StreamBody } from "./body.js";
export { connect, listen, listEndpoints } from "./connect.js";
export { constants } from "./constants.js";
export type { DevCertificate } from "../dev-certificate.js";
export type { ToDuplexOptions } from "./duplex.js";
export { QuicEndpoint } from "./endpoint.js";
export type { OnSession } from "./endpoint-core.js";
export type { EndpointOptions } from "./endpoint-options.js";
export type { MigrateOptions, SessionPath } from "./migrate.js";
export type {
  ConnectOptions,
  ListenOptions,
  ServerTransportParamOptions,
  SessionOptions,
  SniContexts,
  TransportParamOptions,
} from "./public-options.js";
export { type CreateStreamOptions, QuicSession } from "./session.js";
export type { SendFileOptions } from "./send-file.js";
export type { EndpointStats, SessionStats, StreamStats } from "./stats.js";
export { type PriorityOptions, QuicStream, type ReadOptions } from "./stream.js";
export type { SessionTransportParams } from "./transport-params.js";
export type { CloseOptions, OpenedInfo, SessionCallbacks, StreamCallbacks } from "./types.js";
export type { StreamWriter, WriteOptions, WriterChunk } from "./writer.js";
