/** The handshake agent of its benchmark: one certificate for every server, at the path of its job. */

import { startAgent } from "#src/agent/agent.js";
import { chooseTls } from "#src/runtime/choose-tls.js";
import { devCertificate } from "#src/runtime/native/x509.js";
import { ownJob, tell } from "./child.js";
import { cpuMicros } from "./load.js";
import type { AgentTarget } from "./loopback.js";

const { path } = ownJob<{ path: string }>({ cpuMicros });
const { cert, key } = devCertificate({ hosts: ["localhost"] });
await startAgent({
  path,
  gid: null,
  settings: {
    client: { identities: {} },
    server: { identities: { "*": { cert, key } } },
    tags: [],
    handshakeMillis: 30_000,
  },
  provider: chooseTls(process.env),
  log: () => {},
  keylog: null,
  onError: (error) => {
    throw error;
  },
});
tell({ path, ca: cert } satisfies AgentTarget);
