/** Who keeps the process alive: a UDP port does as long as any of its holds is on. */

export class Hold {
  private isOn = false;

  constructor(private readonly count: (change: 1 | -1) => void) {}

  /** Idempotent. */
  set(on: boolean): void {
    if (on === this.isOn) return;
    this.isOn = on;
    this.count(on ? 1 : -1);
  }
}
