/** TCP and UDP through QUIC, what `quic tunnel` runs. Not an entry point of the package. */

export { TunnelClient, type TunnelClientConfig } from "./client.js";
export { TunnelServer, type TunnelServerConfig } from "./server.js";
export type { Place, TunnelEvent, TunnelService } from "./service.js";
export type { Traffic } from "./traffic.js";
