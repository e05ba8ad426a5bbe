/**
 * Module hooks that switch one limit off: the engine reads another number. Tests that import a number of proto/limits go on with
 * what its source says, so that a bound taken from there does not move with the limit. They run on a thread of their own.
 */

import type { InitializeHook, LoadHook, ResolveHook } from "node:module";

/** One constant of one compiled file, and what stands in its place. */
export interface Mutation {
  /** Path below the folder of compiled sources. */
  file: string;
  name: string;
  /** An expression, in which `$` is the constant's own. */
  value: string;
}

export const LIMITS_FILE = "proto/limits.js";
const QUERY = "?without";
let mutation: Mutation = { file: "", name: "", value: "" };

export const initialize: InitializeHook<Mutation> = (data) => {
  mutation = data;
};

function isTest(url: string): boolean {
  return /\/dist-test\/|\.(test|contract)\.js$/.test(url);
}

export const resolve: ResolveHook = async (specifier, context, nextResolve) => {
  const resolved = await nextResolve(specifier, context);
  if (!resolved.url.endsWith(`/dist/${mutation.file}`)) return resolved;
  if (mutation.file === LIMITS_FILE && isTest(context.parentURL ?? "")) return resolved;
  return { ...resolved, url: resolved.url + QUERY };
};

export const load: LoadHook = async (url, context, nextLoad) => {
  if (!url.endsWith(QUERY)) return nextLoad(url, context);
  const loaded = await nextLoad(url.slice(0, -QUERY.length), context);
  return { ...loaded, source: mutate(String(loaded.source)) };
};

/** `source` with the constant replaced. Throws when it is not there: a table that is out of date must not look like a success. */
function mutate(source: string): string {
  const declaration = new RegExp(`^((?:export )?const ${mutation.name} = )([^;]+);`, "m");
  const found = declaration.exec(source);
  if (found === null) throw new Error(`${mutation.file} has no constant ${mutation.name}`);
  const [whole, head, value] = found as unknown as [string, string, string];
  return source.replace(whole, `${head}${mutation.value.replace("$", () => value)};`);
}
