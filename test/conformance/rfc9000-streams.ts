/** RFC 9000 §2 to §4: streams, final sizes, flow control. */

import { stream } from "../support/raw-frames.js";
import { filled } from "./check.js";
import { closes } from "./scripts.js";

closes("9000-4.1-01", 0x08, (peer) => stream(peer.ownBidi(), 100_000_000, filled(5)));
