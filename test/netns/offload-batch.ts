/** The batch that the namespace test sends: 9,000 bytes at a stride of 1,200 - 16, and the keys of two flows. */

import { plainPacket, secrets } from "#src/api/offload/reference.contract.js";

export const SEND_CID = Uint8Array.of(0xc1, 2, 3, 4, 5, 6, 7, 8);
export const SEND_SECRETS = [secrets("aes-128-gcm", "first"), secrets("aes-128-gcm", "second")];
export const WIRE_SIZES = [1200, 1200, 1200, 1200, 1200, 1200, 1200, 728];
export const PLAIN = WIRE_SIZES.map((bytes, pn) => plainPacket(SEND_CID, pn, bytes - 16));
