/** The folders of a run: where files arrive, where a sample is made, and what of it goes away again after a failure. */

import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readdir, rm, rmdir, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Failure, codeOf, fileFailure } from "../failure.js";
import { partSuffix } from "./part-file.js";
import { SAMPLE_NAME, writeSample } from "./sample.js";

/** Names of unfinished files carry it, so that they can be found when a process was killed. */
export function newRunId(): string {
  return randomBytes(4).toString("hex");
}

/** A folder that is there: `given`, or a fresh temporary one. `made`: the folders that were created for it. */
export interface Place {
  dir: string;
  made: string[];
}

export async function preparePlace(given: string | null): Promise<Place> {
  if (given === null) {
    const dir = await mkdtemp(join(tmpdir(), "netquic-transfer-")).catch((error) => {
      throw fileFailure("create a folder in", tmpdir(), error);
    });
    return { dir, made: [dir] };
  }
  const dir = resolve(given);
  return { dir, made: await makeFolder(dir) };
}

/** Makes `dir` and the folders above it; the ones that were missing, deepest first. */
export async function makeFolder(dir: string): Promise<string[]> {
  const missing: string[] = [];
  try {
    // One by one: mkdir with `recursive` never returns where a file system says ENOENT to a new folder, as /proc does.
    for (let path = dir; !(await isFolder(path)); path = resolve(path, "..")) missing.push(path);
    for (const path of missing.toReversed()) await mkdir(path);
    return missing;
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw fileFailure("create", dir, error);
  }
}

/** False when nothing is there. */
async function isFolder(path: string): Promise<boolean> {
  try {
    if ((await stat(path)).isDirectory()) return true;
  } catch (error) {
    if (codeOf(error) === "ENOENT") return false;
    throw error;
  }
  throw new Failure(`${path} is not a directory`);
}

/** Removes the folders that a failed run made, as far as they are empty. */
export async function removeEmpty(made: readonly string[]): Promise<void> {
  for (const path of made) await rmdir(path).catch(() => {});
}

/** Removes unfinished files of the run `runId` that a killed process left in `dir`. */
export async function removeParts(dir: string, runId: string): Promise<void> {
  const names = await readdir(dir).catch(() => []);
  const ours = names.filter((name) => name.endsWith(partSuffix(runId)));
  await Promise.all(ours.map((name) => rm(join(dir, name), { force: true })));
}

/** A sample in a temporary folder of its own; `remove` takes both away. */
export async function makeSample(): Promise<{ path: string; remove(): Promise<void> }> {
  const { dir } = await preparePlace(null);
  const path = join(dir, SAMPLE_NAME);
  const remove = () => rm(dir, { recursive: true, force: true });
  try {
    await writeSample(path);
  } catch (error) {
    await remove();
    throw error;
  }
  return { path, remove };
}
