import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FlowTable } from "./flows.js";
import { MAX_FLOWS } from "./limits.js";

function table(most: number, idleMillis = 1000) {
  const gone: [number, string][] = [];
  return { gone, flows: new FlowTable<string>(most, idleMillis, (flow, value) => gone.push([flow, value])) };
}

describe("UDP flows", () => {
  test("a flow lives as long as it is used", () => {
    const { flows, gone } = table(8);
    flows.add(1, "a", 0);
    flows.add(2, "b", 0);
    assert.equal(flows.use(1, 900), "a");
    flows.expire(999);
    assert.equal(flows.size, 2);
    flows.expire(1000);
    assert.deepEqual(gone, [[2, "b"]]);
    assert.equal(flows.use(2, 1000), null);
    flows.expire(1900);
    assert.deepEqual(gone.at(-1), [1, "a"]);
  });

  test("at the limit the one that was silent longest makes room, and no other", () => {
    const { flows, gone } = table(MAX_FLOWS);
    for (let flow = 0; flow < MAX_FLOWS; flow++) flows.add(flow, `f${flow}`, flow);
    assert.deepEqual([flows.size, gone], [256, []]);
    flows.use(0, 1000);
    flows.add(9999, "new", 1001);
    assert.deepEqual([flows.size, gone], [256, [[1, "f1"]]]);
    assert.equal(flows.use(0, 1002), "f0");
  });

  test("each flow is told gone once, however it goes", () => {
    const { flows, gone } = table(2);
    flows.add(5, "a", 0);
    flows.drop(5);
    flows.drop(5);
    flows.add(6, "b", 0);
    flows.clear();
    flows.expire(10_000);
    assert.deepEqual(gone, [
      [5, "a"],
      [6, "b"],
    ]);
  });
});
