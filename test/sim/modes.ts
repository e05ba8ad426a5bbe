/** Which cryptography a run uses: none (fast, wholly deterministic) or the real libraries, their contexts made once. */

import type { AeadPort } from "#src/port/aead.js";
import type { Random } from "#src/port/random.js";
import type { TlsContext } from "#src/port/tls.js";
import { newPortableAead } from "#src/runtime/portable/aead.js";
import { chooseTls } from "#src/runtime/choose-tls.js";
import { newNativeAead } from "#src/runtime/native/aead.js";
import { devCertificate } from "#src/runtime/native/x509.js";
import { NullAead } from "../support/null-aead.js";
import { NullTls, type NullTlsOptions } from "../support/null-tls.js";
import type { TlsPlan } from "./scenario.js";

export type ModeName = "null" | "real";
export const SERVER_NAME = "sim.test";
const ALPN = ["sim"];

/** The cryptography of one run. */
export interface RunCrypto {
  clientAead: AeadPort;
  serverAead: AeadPort;
  clientTls: TlsContext;
  serverTls: TlsContext;
  /** The protocol that both speak. */
  alpn: string;
  /** Runs handshakes that give tickets: at once, in full, without HelloRetryRequest. Absent: no tickets in this plan. */
  prepare?: (run: () => void) => void;
  /** Sessions and keys that still exist; what a run left behind. Null mode only. */
  leftovers(): string;
  close(): void;
}

export interface Mode {
  readonly name: ModeName;
  /** `later` runs a step after the given virtual time. */
  open(
    plan: TlsPlan,
    random: Random,
    maskHeaders: boolean,
    later: (micros: number, step: () => void) => void,
  ): RunCrypto;
}

export function nullMode(): Mode {
  return {
    name: "null",
    open(plan, random, maskHeaders, later) {
      const options: NullTlsOptions = { ...plan, random };
      const { lateMicros } = plan;
      const delay = new Uint8Array(2);
      const late = (step: () => void): void => {
        random.fill(delay, 0, 2);
        later((lateMicros * (delay[0] * 256 + delay[1])) >>> 16, step);
      };
      if (lateMicros > 0) options.later = late;
      const tls = new NullTls(options);
      const prepare = (run: () => void): void => {
        delete options.later;
        delete options.failOn;
        // small enough for no pacer to hold any of it back: the clock stands
        Object.assign(options, { helloRetry: false, tickets: 1, certificateBytes: 700, keyShareBytes: 32 });
        run();
        Object.assign(options, plan);
        if (lateMicros > 0) options.later = late;
      };
      const clientAead = new NullAead(maskHeaders);
      const serverAead = new NullAead(maskHeaders);
      return {
        clientAead,
        serverAead,
        clientTls: tls.newClientContext({ alpn: ALPN, serverName: SERVER_NAME, verify: "strict", earlyData: true }),
        serverTls: tls.newServerContext({ alpn: ALPN, identities: {}, earlyData: true }),
        alpn: ALPN[0],
        ...(plan.clientAuth ? {} : { prepare }),
        leftovers: () => leftoversOf(tls, [clientAead, serverAead]),
        close: () => {},
      };
    },
  };
}

function leftoversOf(tls: NullTls, aeads: NullAead[]): string {
  const keys = aeads.reduce((sum, aead) => sum + aead.liveKeys + aead.liveHeaderKeys, 0);
  return keys + tls.liveSessions === 0 ? "" : `${keys} keys and ${tls.liveSessions} TLS sessions were not freed`;
}

/**
 * Real TLS and AEAD of this machine. Ed25519, because its signatures have one length (ECDSA's vary, and with them packet
 * sizes). Contexts and keys are shared by all runs.
 */
export function realMode(env: Readonly<Record<string, string | undefined>>): Mode {
  const identity = devCertificate({ hosts: [SERVER_NAME], ed25519: true });
  const provider = chooseTls(env);
  const ca = [identity.cert];
  const { cert, key } = identity;
  const contexts = new Map<string, { client: TlsContext; server: TlsContext }>();
  const aead = env.NETQUIC_DATAPATH === "portable" ? newPortableAead() : newNativeAead();
  const contextsOf = (clientAuth: boolean, helloRetry: boolean) => {
    const name = `${clientAuth} ${helloRetry}`;
    let made = contexts.get(name);
    if (made === undefined) {
      const common = { alpn: ALPN, ca, earlyData: true };
      const client = { ...common, serverName: SERVER_NAME, verify: "strict" as const, identity: { cert, key } };
      const server = { ...common, identities: { "*": { cert, key } } };
      made = {
        // The client's first shares (GnuTLS sends two) are of groups that the server does not take: HelloRetryRequest.
        client: provider.newClientContext(helloRetry ? { ...client, groups: "X25519:P-256:P-384" } : client),
        server: provider.newServerContext({
          ...server,
          ...(helloRetry ? { groups: "P-384" } : {}),
          clientCertificate: clientAuth ? "request" : "ignore",
        }),
      };
      contexts.set(name, made);
    }
    return made;
  };
  return {
    name: "real",
    open(plan) {
      const { client, server } = contextsOf(plan.clientAuth, plan.helloRetry);
      return {
        clientAead: aead,
        serverAead: aead,
        clientTls: client,
        serverTls: server,
        alpn: ALPN[0],
        // after a HelloRetryRequest there are tickets, but none for 0-RTT
        ...(plan.clientAuth || plan.helloRetry ? {} : { prepare: (run: () => void) => run() }),
        leftovers: () => "",
        close: () => {},
      };
    },
  };
}
