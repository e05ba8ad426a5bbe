/** The certificates of an interop run, made by the package itself. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Certificate, makeCertificate } from "#src/runtime/native/x509.js";
import type { CellFiles } from "./cell.js";

const HOSTS = ["localhost", "127.0.0.1", "::1"];
const LONG_NAMES = 150;
/** The verifier of rustls takes no more than six. */
const LONG_CHAIN = 4;

/** An authority and certificates for localhost, as files that every peer can read. */
export function writeCertificates(folder: string): CellFiles {
  const ca = makeCertificate({ subject: "netquic interop authority", ca: true });
  const leaf = makeCertificate({ subject: "localhost", hosts: HOSTS, issuerCertPem: ca.cert, issuerKeyPem: ca.key });
  const large = makeLargeChain(ca);
  const files = {
    cert: join(folder, "cert.pem"),
    key: join(folder, "key.pem"),
    ca: join(folder, "ca.pem"),
    largeCert: join(folder, "large-cert.pem"),
    largeKey: join(folder, "large-key.pem"),
  };
  writeFileSync(files.cert, leaf.cert);
  writeFileSync(files.key, leaf.key, { mode: 0o600 });
  writeFileSync(files.ca, ca.cert);
  writeFileSync(files.largeCert, large.cert);
  writeFileSync(files.largeKey, large.key, { mode: 0o600 });
  return files;
}

/** A leaf with many names below several authorities. */
function makeLargeChain(root: Certificate): { cert: string; key: string } {
  const chain: string[] = [];
  let issuer = root;
  for (let depth = 1; depth <= LONG_CHAIN; depth++) {
    const subject = `netquic interop intermediate authority ${depth}`;
    issuer = makeCertificate({ subject, ca: true, issuerCertPem: issuer.cert, issuerKeyPem: issuer.key });
    chain.unshift(issuer.cert);
  }
  const names = Array.from({ length: LONG_NAMES }, (_, i) => `alternative-name-${i}.of-a-large-certificate.example`);
  const hosts = [...HOSTS, ...names];
  const leaf = makeCertificate({ subject: "localhost", hosts, issuerCertPem: issuer.cert, issuerKeyPem: issuer.key });
  return { cert: [leaf.cert, ...chain].join(""), key: leaf.key };
}
