/** Every file of scripts, for its side effect on the table. */

import "./early.js";
import "./rfc9000-acks.js";
import "./rfc9000-close.js";
import "./rfc9000-handshake.js";
import "./rfc9000-moves.js";
import "./rfc9000-packets.js";
import "./rfc9000-params.js";
import "./rfc9000-streams.js";
import "./rfc9001.js";
import "./rfc9002.js";
import "./rest.js";
import "./rfc9000-paths.js";
import "./versions.js";
