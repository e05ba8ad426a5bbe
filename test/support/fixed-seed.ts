/** Loaded before test files that use fast-check: in a run of all tests they draw the same values every time. */

import fc from "fast-check";

fc.configureGlobal({ seed: 20_000_428 });
