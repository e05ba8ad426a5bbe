/**
 * The future of a simulation: a binary min-heap of events by time, and among equal times in the order in which they were
 * scheduled, so that a run is a function of its seed. Times are integer microseconds.
 */

import type { Datagram } from "./datagram.js";
import type { NetTimer } from "./node.js";

export class SimEvent {
  atMicros = 0;
  order = 0;
  target: NetTimer | null = null;
  datagram: Datagram | null = null;
}

export class EventHeap {
  private readonly heap: SimEvent[] = [];
  private readonly free: SimEvent[] = [];
  private scheduled = 0;

  get size(): number {
    return this.heap.length;
  }

  /** Time of the next event, Infinity when there is none. */
  get nextMicros(): number {
    return this.heap.length === 0 ? Infinity : this.heap[0].atMicros;
  }

  add(atMicros: number, target: NetTimer, datagram: Datagram | null): void {
    const event = this.free.pop() ?? new SimEvent();
    event.atMicros = Math.ceil(atMicros);
    event.order = this.scheduled++;
    event.target = target;
    event.datagram = datagram;
    this.heap.push(event);
    this.siftUp(this.heap.length - 1, event);
  }

  /** Takes out the next event and delivers it; the heap must not be empty. Returns its time. */
  fire(): number {
    const { heap } = this;
    const first = heap[0];
    const last = heap.pop() as SimEvent;
    if (heap.length > 0) this.siftDown(last);
    const { target, datagram, atMicros } = first;
    first.target = null;
    first.datagram = null;
    this.free.push(first);
    (target as NetTimer).onTimer(datagram, atMicros);
    return atMicros;
  }

  private siftUp(start: number, event: SimEvent): void {
    const { heap } = this;
    let at = start;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (isBefore(heap[parent], event)) break;
      heap[at] = heap[parent];
      at = parent;
    }
    heap[at] = event;
  }

  private siftDown(event: SimEvent): void {
    const { heap } = this;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1], heap[child])) child++;
      if (isBefore(event, heap[child])) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = event;
  }
}

function isBefore(a: SimEvent, b: SimEvent): boolean {
  return a.atMicros < b.atMicros || (a.atMicros === b.atMicros && a.order < b.order);
}
