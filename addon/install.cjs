// The install step: take a prebuilt binary or build the addon, and never fail `npm install`. Without the addon,
// importing netquic works and the first connect or listen says what to do (ERR_NETQUIC_NO_ADDON).
"use strict";
const { spawnSync } = require("node:child_process");
const { existsSync, readdirSync, rmSync, statSync } = require("node:fs");
const { dirname, join } = require("node:path");

const root = dirname(__dirname);

// node-gyp-build takes any build that loads; in a checkout that moved on, one older than its sources is a stale one.
const built = join(root, "build", "Release", "netquic.node");
if (existsSync(built)) {
  const sources = readdirSync(__dirname).map((name) => join(__dirname, name));
  const builtAt = statSync(built).mtimeMs;
  const isStale = [...sources, join(root, "binding.gyp")].some((path) => statSync(path).mtimeMs > builtAt);
  if (isStale) rmSync(built);
}

const bin = join(dirname(require.resolve("node-gyp-build/package.json")), "bin.js");
const done = spawnSync(process.execPath, [bin], { cwd: root, stdio: "inherit", shell: false });
if (done.status !== 0) {
  console.warn(
    "netquic: the addon was not built, so nothing can connect or listen yet.\n" +
      "netquic: install python3, make and g++ (apt-get install python3 make g++), then run: npm rebuild netquic",
  );
}
