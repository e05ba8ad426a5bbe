/** The inactivity timer of a socket: it never keeps the process alive, and a write that makes progress is no silence. */

export class IdleTimer {
  private readonly timer: NodeJS.Timeout;
  private seenBytes: number;

  /** `sentBytes` counts what was handed over so far. */
  constructor(
    millis: number,
    private readonly sentBytes: () => number,
    private readonly onTimeout: () => void,
  ) {
    this.seenBytes = sentBytes();
    this.timer = setTimeout(() => this.onTime(), millis).unref();
  }

  touch(): void {
    this.timer.refresh();
  }

  stop(): void {
    clearTimeout(this.timer);
  }

  private onTime(): void {
    const bytes = this.sentBytes();
    const moved = bytes !== this.seenBytes;
    this.seenBytes = bytes;
    if (moved) this.timer.refresh();
    else this.onTimeout();
  }
}
