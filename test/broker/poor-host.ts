/**
 * A host in a process of its own that has no more descriptors from one line of its input to the next: started under a low
 * limit. It prints `ready PORT PATH`, `taken`, `freed`, and its notes.
 */

import { closeSync, openSync } from "node:fs";
import { open } from "./support.js";

const taken: number[] = [];

function takeAll(): void {
  try {
    for (;;) taken.push(openSync("/dev/null", "r"));
  } catch (error) {
    if ((error as { code?: string }).code !== "EMFILE") throw error;
  }
  console.log("taken");
}

const host = await open({ onNote: (line) => console.log(line) });
process.stdin.on("data", () => {
  if (taken.length === 0) return takeAll();
  for (const fd of taken.splice(0)) closeSync(fd);
  console.log("freed");
});
console.log(`ready ${host.port} ${host.path}`);
