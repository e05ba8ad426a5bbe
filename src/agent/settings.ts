/** What the agent has of its own, and how it completes what a program asks for. */

import type { TlsClientConfig, TlsIdentity, TlsPsk, TlsServerConfig } from "../port/tls.js";
import type { AgentChoice, ContextConfig } from "./protocol.js";
import type { TagRules } from "./tags.js";

/** Of one role; what is missing was not configured. */
export interface RoleSettings {
  /** Trust anchors, PEM. */
  ca?: string[];
  /** Revocation lists, PEM. */
  crl?: string[];
  /** Own certificates by host name, `*` for every other; a client shows that of `*`. */
  identities: Record<string, TlsIdentity>;
  psk?: TlsPsk[];
}

/** Replaced as a whole at a reload. */
export interface AgentSettings {
  client: RoleSettings;
  server: RoleSettings;
  tags: TagRules;
  /** For one handshake, milliseconds. */
  handshakeMillis: number;
}

/** @throws Error when the agent has nothing of what is asked for. */
export function clientConfig(
  config: Extract<ContextConfig, { kind: "client" }>,
  choice: AgentChoice,
  { client }: AgentSettings,
): TlsClientConfig {
  const trusting = trustingBy(config, client);
  if (config.identity !== undefined || config.psk !== undefined) return trusting;
  const identity = client.identities["*"];
  const knowsCertificates = identity !== undefined || trusting.ca !== undefined;
  if (choice.auth === "psk" || (choice.auth === "any" && !knowsCertificates && client.psk !== undefined)) {
    return { ...config, psk: [pskNamed(client.psk, choice.pskIdentity)] };
  }
  return identity === undefined ? trusting : { ...trusting, identity };
}

/** @throws Error when the agent has nothing of what is asked for. */
export function serverConfig(
  config: Extract<ContextConfig, { kind: "server" }>,
  choice: AgentChoice,
  { server }: AgentSettings,
): TlsServerConfig {
  const trusting = trustingBy(config, server);
  if (Object.keys(config.identities).length > 0 || config.psk !== undefined) return trusting;
  const hasCertificates = Object.keys(server.identities).length > 0;
  if (choice.auth === "psk" || (choice.auth === "any" && !hasCertificates && server.psk !== undefined)) {
    if (server.psk === undefined) throw new Error(`the handshake agent has no pre-shared keys for servers`);
    return { ...config, clientCertificate: "ignore", psk: server.psk };
  }
  if (!hasCertificates) throw new Error("the handshake agent has no certificate for servers");
  return { ...trusting, identities: server.identities };
}

/** With the agent's anchors and lists where the program has none of its own. */
function trustingBy<T extends ContextConfig>(config: T, { ca, crl }: RoleSettings): T {
  return {
    ...config,
    ...(config.ca === undefined && ca !== undefined && { ca }),
    ...(config.crl === undefined && crl !== undefined && { crl }),
  };
}

function pskNamed(keys: readonly TlsPsk[] | undefined, identity: string): TlsPsk {
  const found = identity === "" ? keys?.[0] : keys?.find((key) => key.identity === identity);
  if (found !== undefined) return found;
  throw new Error(`the handshake agent has no pre-shared key ${JSON.stringify(identity)} for clients`);
}
