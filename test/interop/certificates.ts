/** The certificates of an interop run, made by the package itself. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeCertificate } from "#src/runtime/native/x509.js";
import type { CellFiles } from "./cell.js";

/** An authority and a certificate for localhost, as files that every peer can read. */
export function writeCertificates(folder: string): CellFiles {
  const ca = makeCertificate({ subject: "netquic interop authority", ca: true });
  const leaf = makeCertificate({
    subject: "localhost",
    hosts: ["localhost", "127.0.0.1", "::1"],
    issuerCertPem: ca.cert,
    issuerKeyPem: ca.key,
  });
  const files = { cert: join(folder, "cert.pem"), key: join(folder, "key.pem"), ca: join(folder, "ca.pem") };
  writeFileSync(files.cert, leaf.cert);
  writeFileSync(files.key, leaf.key, { mode: 0o600 });
  writeFileSync(files.ca, ca.cert);
  return files;
}
