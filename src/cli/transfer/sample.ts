/** The file that is sent when none is named: bytes that neither compress nor repeat, the same in every run. */

import { createCipheriv } from "node:crypto";
import { open } from "node:fs/promises";
import { fileFailure } from "../failure.js";

export const SAMPLE_NAME = "sample.bin";
export const SAMPLE_BYTES = 64 * 1024 * 1024;
const CHUNK_BYTES = 1 << 20;

/** Writes `size` bytes of an AES-CTR key stream to `path`. */
export async function writeSample(path: string, size: number = SAMPLE_BYTES): Promise<void> {
  const stream = createCipheriv("aes-128-ctr", Buffer.alloc(16, 0x71), Buffer.alloc(16));
  const zeros = Buffer.alloc(CHUNK_BYTES);
  try {
    const handle = await open(path, "wx");
    try {
      for (let left = size; left > 0; left -= CHUNK_BYTES) {
        await handle.writeFile(stream.update(zeros.subarray(0, Math.min(left, CHUNK_BYTES))));
      }
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw fileFailure("write", path, error);
  }
}
