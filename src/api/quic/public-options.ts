/** Options of `connect` and `listen`, as users write them. They are checked in `session-options.ts`. */

import type { SocketAddress } from "node:net";
import type { DevCertificate } from "../dev-certificate.js";
import type { QuicEndpoint } from "./endpoint.js";
import type { EndpointOptions } from "./endpoint-options.js";
import type { CertificateInput, KeyInput } from "../pem.js";
import type { SessionCallbacks } from "./types.js";

/** What is announced to the peer (RFC 9000 §18.2). Windows in bytes. */
export interface TransportParamOptions {
  /** Receive windows at the start; default 1 MiB a stream, 2 MiB in all. They grow with use. */
  initialMaxStreamDataBidiLocal?: bigint | number;
  initialMaxStreamDataBidiRemote?: bigint | number;
  initialMaxStreamDataUni?: bigint | number;
  initialMaxData?: bigint | number;
  /** Streams that the peer may have open at once; default 100 of each kind. */
  initialMaxStreamsBidi?: bigint | number;
  initialMaxStreamsUni?: bigint | number;
  /** Seconds of silence until the connection is given up; default 30, 0 = never. The smaller one of both sides holds. */
  maxIdleTimeout?: bigint | number;
  activeConnectionIDLimit?: bigint | number;
  ackDelayExponent?: bigint | number;
  /** Milliseconds, default 25. */
  maxAckDelay?: bigint | number;
  /** Largest DATAGRAM frame that is taken, type and length included, bytes: 0 (none) to 65535; default 1200. */
  maxDatagramFrameSize?: bigint | number;
}

/** Also those of a server. */
export interface ServerTransportParamOptions extends TransportParamOptions {
  /**
   * Where clients shall go after the handshake (RFC 9000 §9.6), one address of each family, of this host: the endpoint
   * listens there, too. Port 0: any.
   */
  preferredAddressIpv4?: string | SocketAddress;
  preferredAddressIpv6?: string | SocketAddress;
}

/** Options of both sides. */
export interface SessionOptions extends SessionCallbacks {
  /** Client: the protocol; server: protocols in order of preference. Default `h3`. */
  alpn?: string | readonly string[];
  /** Trust anchors: PEM or DER. Default: Node's own and NODE_EXTRA_CA_CERTS. */
  ca?: CertificateInput;
  /** Revocation lists: PEM or DER. A peer's certificate that its issuer's list names does not verify. */
  crl?: CertificateInput;
  /** Names of TLS 1.3 suites joined by colons. */
  ciphers?: string;
  /** Key exchange groups joined by colons, best first. */
  groups?: string;
  /** Client: its own certificate. Server: the default identity, same as `sni['*']`. */
  keys?: KeyInput | readonly KeyInput[];
  certs?: CertificateInput;
  /** False: a certificate that does not verify is reported by `opened`, nothing more. Default true. */
  rejectUnauthorized?: boolean;
  /** Key log lines go to `onkeylog`. SSLKEYLOGFILE works without it. */
  keylog?: boolean;
  transportParams?: TransportParamOptions;
  /** Default `cubic`. */
  cc?: "reno" | "cubic" | "bbr";
  /** Milliseconds, default 333. */
  initialRtt?: bigint | number;
  /** A PING after so many milliseconds of silence; 0 (default) = off. */
  keepAlive?: bigint | number;
  /** Milliseconds, default 10,000. */
  handshakeTimeout?: bigint | number;
  /** Packets that ask for an acknowledgement before one is sent at once, 1 to 255; default 2, and 0 means that. */
  unacknowledgedPacketThreshold?: bigint | number;
  /** PTOs that a closed session answers late packets for, 3 (default) to 255. */
  drainingPeriodMultiplier?: bigint | number;
  /**
   * UDP payload sent at most, 1200 to 12288 bytes; default 1452. A session begins with 1200 and raises it to what the
   * path is found to carry.
   */
  maxPayloadSize?: bigint | number;
  /** Datagrams that may wait to be sent, 1 to 1024; default 128. */
  maxPendingDatagrams?: bigint | number;
  /** Which one goes when there is no room: the one that waits longest (default), or the new one. */
  datagramDropPolicy?: "drop-oldest" | "drop-newest";
  /** Accepted for node:quic's sake: a datagram waits until it can leave or is dropped for another. */
  maxDatagramSendAttempts?: bigint | number;
  /** Bytes that receive windows grow to; default 6 MiB a stream, 15 MiB in all. */
  maxStreamWindow?: bigint | number;
  maxWindow?: bigint | number;
  /**
   * 0-RTT (RFC 9001 §4.6); default true. Server: tickets allow it, each once; what comes so may be a replay, see
   * `stream.early`. Client: with a `sessionTicket` for it, streams opened before `opened` are sent with the first packets;
   * what the server refuses is sent again. Give one `alpn` only.
   */
  enableEarlyData?: boolean;
  /**
   * Version of a client's first packets, by default that of its `sessionTicket` or else version 1; a server wants it most.
   * Named as in `ext.versions`.
   */
  version?: bigint | number;
  /** Versions with a lower number are not used. */
  minVersion?: bigint | number;
  /** The endpoint to use, or options for a new one. */
  endpoint?: QuicEndpoint | EndpointOptions;
}

export interface ConnectOptions extends SessionOptions {
  /**
   * Go to the address that the server prefers (RFC 9000 §9.6), once it has answered there: `ignore` (default) or `use`;
   * `default` is `use`. One of the session's own family comes first; where there is none of it, and neither an address nor
   * `ipv6Only` was asked for, one of the other family is asked from a socket of that.
   */
  preferredAddressPolicy?: "use" | "ignore" | "default";
  /** Name that the server's certificate must have, and SNI. Default: the host of the address (`localhost` for loopback). */
  servername?: string;
  /** `strict` and `auto` (default) reject what does not verify; with `manual` look at `opened` and decide. */
  verifyPeer?: "strict" | "auto" | "manual";
  /** Resume a session, in 0-RTT where the server allows it: bytes of `onsessionticket`. Use each ticket once. */
  sessionTicket?: ArrayBuffer | ArrayBufferView;
  /** Bytes of `onnewtoken`. */
  token?: ArrayBuffer | ArrayBufferView;
  /** Share the socket of other sessions; default true. */
  reuseEndpoint?: boolean;
  /** Gives up until the handshake is complete. */
  signal?: AbortSignal;
  ext?: {
    /**
     * Accepts exactly these certificates, by SHA-256 of their DER form, in place of `ca` and the host name (as WebTransport
     * does). Hex is fine.
     */
    serverCertificateHashes?: readonly { algorithm?: "sha-256"; value: string | ArrayBuffer | ArrayBufferView }[];
    /**
     * Path of the Unix socket of a handshake agent (`quic agent`), which does the handshake with its own trust store and, if a
     * server asks, its own certificate; `off` = TLS in this process. Default: NETQUIC_AGENT, unless `keys` are given.
     */
    agent?: string;
    /** What one stream buffers until it is acknowledged, bytes; default 2 MiB. */
    sendBufferBytes?: number;
    /** Send what peers have to ignore: a reserved transport parameter, and both QUIC bits (RFC 9287); default true. */
    grease?: boolean;
    /** Ask peers that allow it for fewer acknowledgements of bulk data, and allow it; default true. */
    ackFrequency?: boolean;
    /**
     * DANGEROUS: after the handshake packets are neither encrypted nor authenticated, if the peer asks for it, too; default
     * false. Whoever sees the packets reads all of it, and whoever can send one changes it. Only for measurements, and for
     * networks that are safe by other means; `ext.stats().plaintext` says whether it is in force.
     */
    disable1RttEncryption?: boolean;
    /**
     * Versions of QUIC that may be used, most wanted first: 1 and 2 (or 0x6b3343cf, as on the wire). Default both: a client
     * wants version 1, a server what its client wants.
     */
    versions?: readonly (bigint | number)[];
  };
}

/** Certificates by host name; `*` is the default, `*.example.org` takes one label. */
export type SniContexts = Record<string, { keys: KeyInput | readonly KeyInput[]; certs: CertificateInput }>;

export interface ListenOptions extends SessionOptions {
  transportParams?: ServerTransportParamOptions;
  /** Certificates by host name, which `endpoint.setSNIContexts` can change later. */
  sni?: SniContexts;
  /** Clients must show a certificate that `ca` verifies; with `rejectUnauthorized: false` they are only asked for one. */
  verifyClient?: boolean;
  ext?: {
    /** A self-signed certificate as the default identity, announced on stderr; see `endpoint.ext.devCertificate`. */
    devCertificate?: boolean | { hosts?: readonly string[]; days?: number };
    /**
     * The Unix socket of a `quic host`, which owns the UDP port and sends this program the clients that want its `alpn`;
     * default NETQUIC_HOST. `off`, or neither: the port is the program's own.
     */
    host?: string;
    /** With `host`: clients for these names only, `*.example.org` for one label; default any. */
    serverNames?: readonly string[];
    /**
     * Path of the Unix socket of a handshake agent (`quic agent`), which has the certificates and keys: this process needs
     * none. `off` = TLS in this process. Default: NETQUIC_AGENT, unless `keys`, `sni` or `devCertificate` are given.
     */
    agent?: string;
    sendBufferBytes?: number;
    grease?: boolean;
    ackFrequency?: boolean;
    disable1RttEncryption?: boolean;
    /**
     * Versions of QUIC that may be used, most wanted first: 1 and 2 (or 0x6b3343cf, as on the wire). Default both: a client
     * wants version 1, a server what its client wants.
     */
    versions?: readonly (bigint | number)[];
  };
}

export type { DevCertificate };
