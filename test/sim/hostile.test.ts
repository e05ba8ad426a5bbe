import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { transportErrorName } from "#src/proto/transport-error.js";
import { SimScratch } from "#src/sim/index.js";
import { runHostile } from "./hostile.js";

const SEEDS = 1000;

describe("a peer that lies", () => {
  test(`${SEEDS} seeds: whatever authenticated frames say, nothing throws and nothing is left`, () => {
    const scratch = new SimScratch();
    const codes = new Map<string, number>();
    for (let seed = 1; seed <= SEEDS; seed++) {
      try {
        const { closed } = runHostile(seed, scratch);
        const code = closed?.type === "transport" && !closed.remote ? transportErrorName(Number(closed.code)) : "none";
        codes.set(code, (codes.get(code) ?? 0) + 1);
      } catch (error) {
        throw new Error(`hostile seed ${seed}: ${error instanceof Error ? error.stack : String(error)}`, {
          cause: error,
        });
      }
    }
    // The lies reach most of the checks of RFC 9000 §20.1.
    for (const name of ["PROTOCOL_VIOLATION", "FRAME_ENCODING_ERROR", "STREAM_STATE_ERROR", "FINAL_SIZE_ERROR"]) {
      assert.ok((codes.get(name) ?? 0) >= 3, `${name}: ${codes.get(name) ?? 0} of ${[...codes]}`);
    }
  });
});
