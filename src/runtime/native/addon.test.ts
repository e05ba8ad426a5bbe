import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, test } from "node:test";
import { loadAddon } from "./addon.js";

describe("the addon's loader", () => {
  test("loads one module, once", () => {
    const first = loadAddon<object>();
    assert.equal(loadAddon<object>(), first);
  });

  test("without a build, import works and the first use says which line fixes it", () => {
    const script = `
      const { loadAddon } = await import(${JSON.stringify(new URL("./addon.js", import.meta.url).href)});
      try { loadAddon(); } catch (error) { console.log(error.code + " " + error.message); }`;
    // node-gyp-build looks for the build in this folder instead of the package's root.
    const env = { ...process.env, NETQUIC_PREBUILD: "/nonexistent" };
    const child = spawnSync(process.execPath, ["--input-type=module", "-e", script], { env, encoding: "utf8" });
    assert.match(child.stdout, /^ERR_NETQUIC_NO_ADDON .*npm rebuild netquic/);
  });
});
