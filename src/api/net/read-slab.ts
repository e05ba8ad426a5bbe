/**
 * Where a socket's bytes are put. Small ones get arrays of their own size; while much arrives at once, slabs are cut into
 * pieces one behind the other, and the transport puts what follows straight there. A socket that waits holds one slab
 * at most, and none after a small read.
 */

const SLAB_BYTES = 256 * 1024;
/** A piece is not begun with less room than this. */
const LEAST_ROOM_BYTES = 64 * 1024;
/** A read of so much says that more is on its way; after a smaller one there is no slab. */
const BULK_BYTES = 16 * 1024;

export class ReadSlab {
  private slab: Buffer | null = null;
  private usedBytes = 0;
  private room: Buffer | null = null;

  /** Room for the next read; null: it gets an array of its own. The same one until `onRead`. */
  next(): Buffer | null {
    if (this.slab === null) return null;
    this.room ??= this.slab.subarray(this.usedBytes);
    return this.room;
  }

  /** So many bytes were read into the room, or into an array of their own. */
  onRead(bytes: number): void {
    this.usedBytes += bytes;
    this.room = null;
    if (bytes < BULK_BYTES) this.slab = null;
    else if (this.slab === null || SLAB_BYTES - this.usedBytes < LEAST_ROOM_BYTES) {
      this.slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
      this.usedBytes = 0;
    }
  }
}
