/** Every file of scripts, for its side effect on the table. */

import "./rfc9000-streams.js";
