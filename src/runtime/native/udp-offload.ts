/**
 * Which rungs of the native datapath may be used: what the options of a socket say, else what NETQUIC_UDP says, a list of
 * `no-gso`, `no-gro` and `sendmsg` with commas between. For tests, and for drivers that claim more than they can do.
 */

import type { UdpOffload } from "../../port/udp.js";

const WORDS = ["no-gso", "no-gro", "sendmsg"];

/** @throws an Error with code `ERR_INVALID_ARG_VALUE` for a word that is none of them. */
export function allowedOffload(
  asked: UdpOffload | undefined,
  env: Record<string, string | undefined>,
): Required<UdpOffload> {
  const text = env["NETQUIC_UDP"] ?? "";
  const words = text === "" ? [] : text.split(",");
  if (!words.every((word) => WORDS.includes(word))) {
    const message = `NETQUIC_UDP=${JSON.stringify(text)} is no list of ${WORDS.join(", ")}`;
    throw Object.assign(new Error(message), { code: "ERR_INVALID_ARG_VALUE" });
  }
  return {
    gso: asked?.gso ?? !words.includes("no-gso"),
    gro: asked?.gro ?? !words.includes("no-gro"),
    mmsg: asked?.mmsg ?? !words.includes("sendmsg"),
  };
}
