/** Constants of `node:quic`. */

import { DEFAULT_CIPHERS, DEFAULT_GROUPS } from "../../runtime/native/tls-config.js";

export const constants = Object.freeze({
  /** For the option `cc`. */
  cc: Object.freeze({ RENO: "reno", CUBIC: "cubic", BBR: "bbr" } as const),
  DEFAULT_CIPHERS,
  DEFAULT_GROUPS,
});
