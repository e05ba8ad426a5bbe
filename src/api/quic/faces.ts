/**
 * How cores make the objects that users hold. A face imports its core; the other way goes through here, so that the modules
 * import each other one way only. The face modules fill it in when they load; `connect.ts` imports them all.
 */

import type { EndpointCore } from "./endpoint-core.js";
import type { QuicEndpoint } from "./endpoint.js";
import type { SessionCore } from "./session-core.js";
import type { QuicSession } from "./session.js";
import type { StreamCore } from "./stream-core.js";
import type { QuicStream } from "./stream.js";

interface Faces {
  endpoint: (core: EndpointCore) => QuicEndpoint;
  session: (core: SessionCore) => QuicSession;
  stream: (core: StreamCore) => QuicStream;
}

export const faces = {} as Faces;
