/** Constants of `node:quic`. */

export const constants = Object.freeze({
  /** For the option `cc`. */
  cc: Object.freeze({ RENO: "reno", CUBIC: "cubic", BBR: "bbr" } as const),
  DEFAULT_CIPHERS: "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256",
  DEFAULT_GROUPS: "X25519:P-256:P-384",
});
