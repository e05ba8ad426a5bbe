/** Options of a QuicEndpoint (`EndpointOptions` of node:quic), checked and with the units of the rooms below. */

import { createHash } from "node:crypto";
import type { SocketAddress } from "node:net";
import { type HostPort, parseAddress } from "../address.js";
import { MAX_CID_BYTES, MIN_LOCAL_CID_BYTES, TOKEN_KEY_SECONDS } from "../../proto/limits.js";
import { OptionReader } from "../option-reader.js";
import { invalidValue } from "../errors.js";

export interface EndpointOptions {
  /** Where to bind: `127.0.0.1:0` by default, `0.0.0.0:0` or `[::]:0` for an endpoint that only connects. */
  address?: string | SocketAddress;
  /** `::` takes IPv6 only; default false: both. */
  ipv6Only?: boolean;
  /** SO_REUSEPORT; default false. */
  reusePort?: boolean;
  /** Seconds after the last session until an endpoint that does not listen closes itself; 0 (default): never. */
  idleTimeout?: number;
  /** Connections from clients at once, 0 (default) = unlimited; more are refused. */
  maxConnectionsTotal?: number;
  maxConnectionsPerHost?: number;
  /** Every client proves its address by a Retry (RFC 9000 §8.1.2); default false: under load only. */
  validateAddress?: boolean;
  /** Seconds that tokens validate an address for: of a Retry, default 10, and of NEW_TOKEN, default 86,400; no more each. */
  retryTokenExpiration?: bigint | number;
  tokenExpiration?: bigint | number;
  /** Packets of sessions that nobody knows here are not answered (RFC 9000 §10.3); default false. */
  disableStatelessReset?: boolean;
  /** Kernel socket buffers, bytes; default 4 MiB each. */
  udpReceiveBufferSize?: number;
  udpSendBufferSize?: number;
  /** 16 bytes each: keys of stateless resets and of tokens derive from both, so that they outlive a restart. */
  resetTokenSecret?: ArrayBuffer | ArrayBufferView;
  tokenSecret?: ArrayBuffer | ArrayBufferView;
  ext?: {
    /**
     * 32 bytes or more, in place of both: from it come the keys of resets, of tokens (new each day) and of session
     * tickets (new each 12 hours); those of the time before are still taken. Servers that share it know each other's,
     * also after a restart; 0-RTT is taken by the process that gave the ticket only.
     */
    secret?: ArrayBuffer | ArrayBufferView;
    /** Length of the connection ids of all sessions: 4 to 20, default 8, which is what a quic host wants. */
    connectionIdBytes?: number;
  };
}

export interface EndpointSetup {
  /** Null: not said. */
  address: HostPort | null;
  ipv6Only: boolean;
  reusePort: boolean;
  idleTimeoutMillis: number;
  maxConnectionsTotal: number;
  maxConnectionsPerHost: number;
  validateAddress: boolean;
  retryTokenSeconds: number | undefined;
  newTokenSeconds: number | undefined;
  statelessResets: boolean;
  receiveBufferBytes: number | undefined;
  sendBufferBytes: number | undefined;
  secret: Uint8Array | undefined;
  connectionIdBytes: number | undefined;
}

/** Largest value of both limits: what node:quic takes. */
export const MAX_CONNECTIONS = 65_535;
const SECRET_BYTES = 16;
export const MIN_SECRET_BYTES = 32;
const MAX_BUFFER_BYTES = 2 ** 30;

/** @throws TypeError or RangeError that names the option. */
export function readEndpointOptions(given: unknown, path: string): EndpointSetup {
  const reader = new OptionReader(given, path);
  const address = reader.raw("address");
  const ext = reader.nested("ext");
  const setup: EndpointSetup = {
    address: address === undefined ? null : parseAddress(address, reader.name("address"), 0),
    ipv6Only: reader.boolean("ipv6Only") ?? false,
    reusePort: reader.boolean("reusePort") ?? false,
    idleTimeoutMillis: (reader.number("idleTimeout", 0, 2_000_000, true) ?? 0) * 1000,
    maxConnectionsTotal: reader.number("maxConnectionsTotal", 0, MAX_CONNECTIONS) ?? 0,
    maxConnectionsPerHost: reader.number("maxConnectionsPerHost", 0, MAX_CONNECTIONS) ?? 0,
    validateAddress: reader.boolean("validateAddress") ?? false,
    retryTokenSeconds: reader.number("retryTokenExpiration", 1, TOKEN_KEY_SECONDS),
    newTokenSeconds: reader.number("tokenExpiration", 1, TOKEN_KEY_SECONDS),
    statelessResets: reader.boolean("disableStatelessReset") !== true,
    receiveBufferBytes: reader.number("udpReceiveBufferSize", 1, MAX_BUFFER_BYTES),
    sendBufferBytes: reader.number("udpSendBufferSize", 1, MAX_BUFFER_BYTES),
    secret: secretOf(reader, ext),
    connectionIdBytes: ext.number("connectionIdBytes", MIN_LOCAL_CID_BYTES, MAX_CID_BYTES),
  };
  ext.finish();
  reader.finish();
  return setup;
}

/** node:quic has two secrets where the engine derives all of its keys from one (docs/deviations.md). */
function secretOf(reader: OptionReader, ext: OptionReader): Uint8Array | undefined {
  const secret = ext.bytes("secret");
  if (secret !== undefined && secret.length < MIN_SECRET_BYTES) {
    throw invalidValue(ext.name("secret"), `must have ${MIN_SECRET_BYTES} bytes or more`, secret.length);
  }
  const parts = ["resetTokenSecret", "tokenSecret"].map((key) => {
    const bytes = reader.bytes(key);
    if (bytes !== undefined && bytes.length !== SECRET_BYTES) {
      throw invalidValue(reader.name(key), `must have ${SECRET_BYTES} bytes`, bytes.length);
    }
    return bytes;
  });
  if (parts.every((part) => part === undefined)) return secret?.slice();
  if (secret !== undefined) {
    throw invalidValue(ext.name("secret"), "takes the place of resetTokenSecret and tokenSecret", "all of them");
  }
  const hash = createHash("sha256").update("netquic endpoint secret");
  for (const part of parts) hash.update(part ?? new Uint8Array(SECRET_BYTES));
  return new Uint8Array(hash.digest());
}
