/**
 * Names for the numbers in which both libraries report a failed certificate check (OpenSSL's X509_V_ERR_*): the ones
 * that Node uses in `authorizationError`, so that code and search engines know them.
 */

const NAMES: Readonly<Record<number, string>> = {
  1: "UNSPECIFIED",
  2: "UNABLE_TO_GET_ISSUER_CERT",
  3: "UNABLE_TO_GET_CRL",
  7: "CERT_SIGNATURE_FAILURE",
  8: "CRL_SIGNATURE_FAILURE",
  9: "CERT_NOT_YET_VALID",
  10: "CERT_HAS_EXPIRED",
  11: "CRL_NOT_YET_VALID",
  12: "CRL_HAS_EXPIRED",
  13: "ERROR_IN_CERT_NOT_BEFORE_FIELD",
  14: "ERROR_IN_CERT_NOT_AFTER_FIELD",
  17: "OUT_OF_MEM",
  18: "DEPTH_ZERO_SELF_SIGNED_CERT",
  19: "SELF_SIGNED_CERT_IN_CHAIN",
  20: "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  21: "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  22: "CERT_CHAIN_TOO_LONG",
  23: "CERT_REVOKED",
  24: "INVALID_CA",
  25: "PATH_LENGTH_EXCEEDED",
  26: "INVALID_PURPOSE",
  27: "CERT_UNTRUSTED",
  28: "CERT_REJECTED",
  34: "UNHANDLED_CRITICAL_EXTENSION",
  47: "PERMITTED_VIOLATION",
  48: "EXCLUDED_VIOLATION",
  62: "ERR_TLS_CERT_ALTNAME_INVALID",
  64: "ERR_TLS_CERT_ALTNAME_INVALID",
  66: "EE_KEY_TOO_SMALL",
  67: "CA_KEY_TOO_SMALL",
  68: "CA_MD_TOO_WEAK",
  79: "INVALID_CA",
};

/** `CERT_HAS_EXPIRED`; "" for 0, which is success. */
export function verifyErrorName(code: number): string {
  if (code === 0) return "";
  return NAMES[code] ?? `X509_V_ERR_${code}`;
}

/** The number of a name that `verifyErrorName` gave; 0 for "". */
export function verifyErrorCode(name: string): number {
  if (name === "") return 0;
  const known = Object.keys(NAMES).find((code) => NAMES[Number(code)] === name);
  return Number(known ?? /^X509_V_ERR_(\d+)$/.exec(name)?.[1] ?? 1);
}
