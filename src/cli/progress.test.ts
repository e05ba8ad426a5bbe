import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Progress } from "./progress.js";

const MIB = 1 << 20;

class Screen {
  text = "";
  constructor(
    readonly isTTY: boolean,
    readonly columns = 100,
  ) {}
  write(text: string): void {
    this.text += text;
  }
}

/** A progress whose clock the test moves. */
function makeProgress(screen: Screen, env: Record<string, string> = {}) {
  const clock = { millis: 1000 };
  return { clock, progress: new Progress(screen, env, () => clock.millis) };
}

describe("progress of a transfer", () => {
  test("a terminal gets one line that is rewritten, with percent, rate and time left", () => {
    const screen = new Screen(true);
    const { clock, progress } = makeProgress(screen);
    for (let done = 0; done <= 4; done++) {
      progress.update("sending", done * 10 * MIB, 100 * MIB);
      clock.millis += 1000;
    }
    assert.equal(screen.text.includes("\n"), false);
    const last = screen.text.split("\r").at(-1);
    assert.equal(last, "sending [========            ]  40%  40.0 MiB of 100 MiB, 10.0 MiB/s  ETA 0:06\u001b[K");
  });

  test("a line of its own takes the rewritten one away first", () => {
    const screen = new Screen(true);
    const { clock, progress } = makeProgress(screen);
    progress.update("sending", 0, MIB);
    clock.millis += 1000;
    progress.update("sending", MIB, MIB);
    screen.text = "";
    progress.line("done");
    progress.line("again");
    assert.equal(screen.text, "\r\u001b[Kdone\nagain\n");
  });

  test("a narrow terminal never wraps", () => {
    const screen = new Screen(true, 20);
    const { clock, progress } = makeProgress(screen);
    progress.update("sending", 0, MIB);
    clock.millis += 1000;
    progress.update("sending", MIB, MIB);
    assert.equal(screen.text.replace("\u001b[K", "").length, 20);
  });

  test("elsewhere there are plain lines, one every two seconds, without escapes", () => {
    const screen = new Screen(false);
    const { clock, progress } = makeProgress(screen);
    for (let done = 0; done <= 50; done++) {
      progress.update("sending", done * MIB, 100 * MIB);
      clock.millis += 100;
    }
    assert.equal(
      screen.text,
      "sending: 20%, 20.0 MiB of 100 MiB, 10.0 MiB/s, ETA 0:08\nsending: 40%, 40.0 MiB of 100 MiB, 10.0 MiB/s, ETA 0:06\n",
    );
    progress.clear();
    assert.equal(screen.text.split("\n").length, 3);
  });

  test("a dumb terminal gets plain lines", () => {
    const screen = new Screen(true);
    const { clock, progress } = makeProgress(screen, { TERM: "dumb" });
    progress.update("sending", 0, MIB);
    clock.millis += 3000;
    progress.update("sending", MIB, MIB);
    assert.match(screen.text, /^sending: 100%.*\n$/);
  });

  test("NO_COLOR and a pipe take colours away", () => {
    assert.equal(makeProgress(new Screen(true)).progress.good("x"), "\u001b[32mx\u001b[39m");
    assert.equal(makeProgress(new Screen(true), { NO_COLOR: "1" }).progress.good("x"), "x");
    assert.equal(makeProgress(new Screen(false)).progress.good("x"), "x");
  });

  test("a stall shows: the rate falls and the time left grows", () => {
    const screen = new Screen(false);
    const { clock, progress } = makeProgress(screen);
    progress.update("sending", 0, 100 * MIB);
    clock.millis += 2000;
    progress.update("sending", 20 * MIB, 100 * MIB);
    for (let i = 0; i < 10; i++) {
      clock.millis += 2000;
      progress.update("sending", 20 * MIB, 100 * MIB);
    }
    assert.match(
      screen.text.trim().split("\n").at(-1) as string,
      /20%, 20.0 MiB of 100 MiB, [0-9.]+ (KiB|B)\/s, ETA [0-9]+:/,
    );
  });
});
