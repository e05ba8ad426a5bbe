/** What a tls.TLSSocket tells of its handshake, for sockets over QUIC. */

import type { PeerCertificate } from "node:tls";
import { X509Certificate } from "node:crypto";
import type { HandshakeInfo } from "../../port/transport.js";

export interface CipherInfo {
  name: string;
  standardName: string;
  version: "TLSv1.3";
}

export function cipherOf(info: HandshakeInfo): CipherInfo {
  return { name: info.cipher, standardName: info.cipher, version: "TLSv1.3" };
}

/** The peer's certificate was asked for, shown and found good. A resumed session was, when it was new. */
export function isAuthorized(info: HandshakeInfo | null, isServer: boolean): boolean {
  if (info === null || info.verifyError !== "") return false;
  return !isServer || info.peerCertificates.length > 0;
}

export function peerX509(info: HandshakeInfo | null): X509Certificate | undefined {
  const leaf = info?.peerCertificates[0];
  return leaf === undefined ? undefined : new X509Certificate(leaf);
}

/** In the form of node:tls: an empty object when there is none; `detailed` links the issuers that were shown. */
export function peerCertificateOf(info: HandshakeInfo | null, detailed: boolean): PeerCertificate | object {
  const chain = (info?.peerCertificates ?? []).map((der) => new X509Certificate(der).toLegacyObject());
  const [leaf] = chain;
  if (leaf === undefined) return {};
  if (detailed) chain.forEach((each, at) => Object.assign(each, { issuerCertificate: chain[at + 1] ?? each }));
  return leaf;
}
