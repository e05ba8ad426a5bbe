import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Fifo } from "./fifo.js";

test("a Fifo gives items in the order in which they came, whatever is put in and taken between", () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.constant("take"), fc.constant("clear"), fc.nat({ max: 20 }), fc.constant(300)), {
        maxLength: 60,
      }),
      (steps) => {
        const fifo = new Fifo<{ n: number }>();
        const model: { n: number }[] = [];
        let n = 0;
        for (const step of steps) {
          if (step === "take") assert.equal(fifo.take(), model.shift() ?? null);
          else if (step === "clear") {
            fifo.clear();
            model.length = 0;
          } else {
            for (let i = 0; i < Number(step); i++) {
              const item = { n: n++ };
              fifo.push(item);
              model.push(item);
            }
          }
          assert.equal(fifo.count, model.length);
        }
        while (model.length > 0) assert.equal(fifo.take(), model.shift());
        assert.equal(fifo.take(), null);
      },
    ),
  );
});
