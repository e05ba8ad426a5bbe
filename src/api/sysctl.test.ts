import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { defaultLimits, PAGE_BYTES, parseSysctl, readSysctl, SysctlError } from "./sysctl.js";

const GIB = 2 ** 30;

function wrong(text: string): string {
  try {
    parseSysctl(text);
  } catch (error) {
    assert.ok(error instanceof SysctlError);
    assert.equal(error.code, "ERR_NETQUIC_SYSCTL");
    return error.message;
  }
  return "nothing";
}

describe("limits by the names of sysctl", () => {
  test("without a setting an eighth of memory is where pressure begins, as in Linux; buffers are our own", () => {
    const { memBytes, rmemBytes, wmemBytes } = defaultLimits(16 * GIB);
    assert.deepEqual(memBytes, [1.5 * GIB, 2 * GIB, 3 * GIB]);
    assert.deepEqual([rmemBytes, wmemBytes], [null, null]);
    assert.deepEqual(defaultLimits(0).memBytes, [96 * PAGE_BYTES, 128 * PAGE_BYTES, 192 * PAGE_BYTES]);
  });

  test("a file has names and values, comments and empty lines; the last setting holds", () => {
    const text = `# limits
net.quic.quic_mem = 100 200 300
; more
net/quic/quic_rmem=4096	65536  1048576

net.quic.quic_wmem = 4096,16384,65536
net.quic.quic_mem = 1 2 3`;
    const { memBytes, rmemBytes, wmemBytes } = parseSysctl(text);
    assert.deepEqual(memBytes, [PAGE_BYTES, 2 * PAGE_BYTES, 3 * PAGE_BYTES]);
    assert.deepEqual(
      [rmemBytes, wmemBytes],
      [
        [4096, 65_536, 1_048_576],
        [4096, 16_384, 65_536],
      ],
    );
  });

  test("an object has texts or lists", () => {
    const { memBytes, rmemBytes } = readSysctl({
      "net.quic.quic_mem": [1, 1, 1],
      "net.quic.quic_rmem": "1200 1200 1200",
    });
    assert.deepEqual(
      [memBytes, rmemBytes],
      [
        [PAGE_BYTES, PAGE_BYTES, PAGE_BYTES],
        [1200, 1200, 1200],
      ],
    );
    assert.throws(() => readSysctl({ "net.quic.quic_mem": null }), /a text, a number or a list/);
  });

  test("values at the ends of their ranges are taken, those beyond are named", () => {
    assert.equal(parseSysctl(`net.quic.quic_mem = 1 1 ${2 ** 40}`).memBytes[2], 2 ** 40 * PAGE_BYTES);
    assert.match(wrong("net.quic.quic_mem = 0 1 1"), /line 1: net.quic.quic_mem: 0 is not from 1 to 1099511627776/);
    assert.match(wrong(`net.quic.quic_mem = 1 1 ${2 ** 40 + 1}`), /is not from 1/);
    assert.deepEqual(parseSysctl(`net.quic.quic_rmem = 1200 1200 ${2 ** 31 - 1}`).rmemBytes?.[2], 2 ** 31 - 1);
    assert.match(wrong("net.quic.quic_rmem = 1199 1200 1200"), /1199 is not from 1200/);
    assert.match(wrong(`net.quic.quic_wmem = 1200 1200 ${2 ** 31}`), /2147483648 is not from 1200 to 2147483647/);
  });

  test("what is unknown, no number, out of order or no setting is named with its line", () => {
    assert.match(wrong("\nnet.quic.quic_men = 1 2 3"), /line 2: net.quic.quic_men: is not known/);
    assert.match(wrong("net.quic.quic_mem = 1 2"), /"1 2": three whole numbers/);
    assert.match(wrong("net.quic.quic_mem = 1 2 x"), /three whole numbers/);
    assert.match(wrong("net.quic.quic_mem = 1 2 -3"), /three whole numbers/);
    assert.match(wrong("net.quic.quic_mem = 2 1 3"), /none may be above the one after it/);
    assert.match(wrong("net.quic.quic_mem 1 2 3"), /is no "name = value"/);
  });
});
