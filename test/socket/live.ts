/** Sockets over real UDP on loopback, for tests of `netquic/socket`: listeners, clients, and both ends of a connection. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as quic from "#src/api/socket/index.js";
import { devCertificate } from "#src/runtime/native/x509.js";

export const HOST = "127.0.0.1";
export const { cert, key } = devCertificate({ hosts: ["localhost", "127.0.0.1", "::1"], days: 1 });

/** A value of an option of level SOL_QUIC, set before `listen` or `connect`. */
export type Option = readonly [name: number, value: Uint8Array | string];

export function config(value: Parameters<typeof quic.structs.config.encode>[0]): Option {
  return [quic.QUIC_SOCKOPT_CONFIG, quic.structs.config.encode(value)];
}

export function params(value: Parameters<typeof quic.structs.transportParam.encode>[0]): Option {
  return [quic.QUIC_SOCKOPT_TRANSPORT_PARAM, quic.structs.transportParam.encode(value)];
}

/** For `afterEach`: what a test that failed left open would keep the process. */
export function closeLeftovers(): void {
  for (let sd = 0; sd < 100; sd++) {
    try {
      quic.close(sd);
    } catch {
      // the test has closed it
    }
  }
}

function newSocket(alpn: string, options: readonly Option[], family: number = quic.AF_INET): number {
  const sd = quic.socket(family, quic.SOCK_DGRAM);
  quic.setsockopt(sd, quic.SOL_QUIC, quic.QUIC_SOCKOPT_ALPN, alpn);
  for (const [name, value] of options) quic.setsockopt(sd, quic.SOL_QUIC, name, value);
  return sd;
}

/** A socket that listens on 127.0.0.1. */
export async function listening(
  alpn: string,
  options: readonly Option[] = [],
  port = 0,
  early: quic.EarlyOptions = {},
): Promise<number> {
  const sd = newSocket(alpn, options);
  try {
    await quic.bind(sd, { address: HOST, port });
    await quic.listen(sd, 16, early);
  } catch (error) {
    quic.close(sd);
    throw error;
  }
  return sd;
}

/** A socket whose connection to `port` is to begin its handshake. */
export async function connecting(
  port: number,
  alpn: string,
  options: readonly Option[] = [],
  early: quic.EarlyOptions = {},
): Promise<number> {
  const sd = newSocket(alpn, options);
  await quic.connect(sd, { address: HOST, port }, early);
  return sd;
}

export function portOf(sd: number): number {
  return quic.getsockname(sd).port;
}

export const CLIENT = { serverName: "localhost", ca: [cert] };
export const SERVER = { cert, key };

export interface Live {
  listener: number;
  client: number;
  server: number;
}

export interface LiveOptions {
  alpn?: string;
  client?: readonly Option[];
  server?: readonly Option[];
  clientHandshake?: (sd: number) => Promise<void>;
  serverHandshake?: (sd: number) => Promise<void>;
}

/** Both ends of a connection, by certificate unless the options do it in another way; closed afterwards. */
export async function live(options: LiveOptions, use: (both: Live) => Promise<void> | void): Promise<void> {
  const {
    alpn = "sample",
    clientHandshake = (sd: number) => quic.quic_client_handshake(sd, CLIENT),
    serverHandshake = (sd: number) => quic.quic_server_handshake(sd, SERVER),
  } = options;
  const listener = await listening(alpn, options.server);
  const sds = [listener];
  try {
    const client = await connecting(portOf(listener), alpn, options.client);
    sds.push(client);
    const serve = async (): Promise<number> => {
      const child = await quic.promises.accept(listener);
      sds.push(child);
      await serverHandshake(child);
      return child;
    };
    const [server] = await Promise.all([serve(), clientHandshake(client)]);
    await use({ listener, client, server });
  } finally {
    for (const sd of sds) quic.close(sd);
  }
}

/** How both sides of a handshake ended: "" or the code of the error. */
export async function outcomes(options: LiveOptions): Promise<{ client: unknown; server: unknown }> {
  const result: { client: unknown; server: unknown } = { client: null, server: null };
  const { clientHandshake, serverHandshake } = options;
  const noting = (side: "client" | "server", handshake: (sd: number) => Promise<void>) => async (sd: number) => {
    result[side] = await handshake(sd).then(
      () => null,
      (error: unknown) => error,
    );
  };
  await live(
    {
      ...options,
      clientHandshake: noting("client", clientHandshake ?? ((sd) => quic.quic_client_handshake(sd, CLIENT))),
      serverHandshake: noting("server", serverHandshake ?? ((sd) => quic.quic_server_handshake(sd, SERVER))),
    },
    () => {},
  );
  return result;
}

/** Sends `text` on the client's next stream with FIN and back; true when it came back. */
export async function echoes({ client, server }: Live, text: string): Promise<boolean> {
  const flags = quic.MSG_QUIC_STREAM_NEW | quic.MSG_QUIC_STREAM_FIN;
  const stream = { stream_id: -1, stream_flags: flags };
  await quic.promises.sendmsg(client, { data: Buffer.from(text), flags: 0, stream });
  const request = await quic.promises.recvmsg(server, 65_536);
  const id = request.stream?.stream_id ?? -1;
  const back = { stream_id: id, stream_flags: quic.MSG_QUIC_STREAM_FIN };
  await quic.promises.sendmsg(server, { data: request.data, flags: 0, stream: back });
  const answer = await quic.promises.recvmsg(client, 65_536);
  return String(Buffer.from(answer.data)) === text && answer.stream?.stream_id === id;
}

export function hasCode(code: string): (error: unknown) => boolean {
  return (error) => (error as { code?: string } | null)?.code === code;
}

/** Files in a folder that goes away with the function that uses them. */
export async function withFiles(
  files: Readonly<Record<string, string>>,
  use: (pathOf: (name: string) => string) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "netquic-"));
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text, { mode: 0o600 });
    await use((name) => join(folder, name));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
