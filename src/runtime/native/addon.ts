/**
 * The loader of the addon. Nothing is loaded on import: the first part that needs the addon asks for it, so that a
 * machine without a compiler can still import netquic and read which one line fixes it.
 */

import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The package's root: the folder of `package.json`, `build` and `prebuilds`, seen from `dist/runtime/native`. */
const PACKAGE_ROOT = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "..");

/** As in addon/module.cc: a build of other sources is refused. */
const ADDON_VERSION = 12;

let loaded: object | undefined;

/**
 * The addon's exports, loaded at the first call. Each wrapper declares the part that it uses as `T`: the addon is one
 * module, its parts do not know each other.
 *
 * @throws an Error with code `ERR_NETQUIC_NO_ADDON` when no build of the addon loads in this Node.
 */
export function loadAddon<T extends object>(): T {
  loaded ??= requireAddon();
  return loaded as T;
}

function requireAddon(): object {
  const require = createRequire(import.meta.url);
  let addon: { version?: unknown };
  try {
    const load = require("node-gyp-build") as (root: string) => object;
    addon = load(PACKAGE_ROOT);
  } catch (cause) {
    throw noAddon("is not built for this Node", { cause });
  }
  if (addon.version !== ADDON_VERSION) throw noAddon("was built from other sources than this version's", {});
  return addon;
}

function noAddon(what: string, options: ErrorOptions): Error {
  const message =
    `netquic's addon ${what}: run \`npm rebuild netquic\`, in a clone \`npm run install\` ` +
    "(it needs python3, make and g++: apt-get install python3 make g++)";
  return Object.assign(new Error(message, options), { code: "ERR_NETQUIC_NO_ADDON" });
}
