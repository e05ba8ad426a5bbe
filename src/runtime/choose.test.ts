import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { aeadContract } from "./aead.contract.js";
import { aeadGatherContract } from "./aead-gather.contract.js";
import { aeadPlainContract } from "./aead-plain.contract.js";
import { aeadScatterContract } from "./aead-scatter.contract.js";
import { chooseDatapath, type Datapath, type DatapathRungs, RUNGS, type Rung } from "./choose.js";
import { newPortableAead } from "./portable/aead.js";

function parts({ name, udp, aead, files }: Datapath): string[] {
  return [name, udp.name, aead.name, files.name];
}

/** The ladder with rungs that do not load. */
function without(...names: string[]): DatapathRungs {
  const breakThem = <P>(rungs: readonly Rung<P>[]): Rung<P>[] =>
    rungs.map((rung) =>
      names.includes(rung.name)
        ? {
            ...rung,
            make(): never {
              throw new Error(`no ${rung.name} here`);
            },
          }
        : rung,
    );
  return { udp: breakThem(RUNGS.udp), aead: breakThem(RUNGS.aead), files: breakThem(RUNGS.files) };
}

const NATIVE = ["native", "native", "openssl-evp", "preadv2"];
const PORTABLE = ["portable", "portable", "node:crypto", "node:fs"];
const NO_ADDON = without("native", "openssl-evp", "preadv2");

describe("choice of the datapath", () => {
  test("native where it is there, by default and on demand, without a note", () => {
    for (const env of [{}, { NETQUIC_DATAPATH: "" }, { NETQUIC_DATAPATH: "native" }]) {
      const chosen = chooseDatapath(env);
      assert.deepEqual(parts(chosen), NATIVE);
      assert.deepEqual(chosen.notes, []);
    }
  });

  test("portable on demand, without a note", () => {
    const chosen = chooseDatapath({ NETQUIC_DATAPATH: "portable" }, NO_ADDON);
    assert.deepEqual(parts(chosen), PORTABLE);
    assert.deepEqual(chosen.notes, []);
  });

  test("what does not load degrades with one note a part that says why, and is an error when it was forced", () => {
    const chosen = chooseDatapath({}, NO_ADDON);
    assert.deepEqual(parts(chosen), PORTABLE);
    assert.equal(chosen.notes.length, 3);
    assert.match(chosen.notes[0] ?? "", /^UDP runs on portable.*no native here/);
    assert.throws(() => chooseDatapath({ NETQUIC_DATAPATH: "native" }, NO_ADDON), /no native here/);
    assert.throws(() => chooseDatapath({ NETQUIC_AEAD: "openssl-evp" }, NO_ADDON), /no openssl-evp here/);
  });

  test("each part degrades by itself", () => {
    const noAead = chooseDatapath({}, without("openssl-evp"));
    assert.deepEqual(parts(noAead), ["mixed", "native", "node:crypto", "preadv2"]);
    assert.deepEqual(noAead.notes, [
      "packet protection runs on node:crypto, slower than it could: no openssl-evp here",
    ]);
    const noUdp = chooseDatapath({}, without("native"));
    assert.deepEqual(parts(noUdp), ["mixed", "portable", "openssl-evp", "preadv2"]);
  });

  test("NETQUIC_AEAD names the implementation of packet protection and wins over NETQUIC_DATAPATH", () => {
    const aead = chooseDatapath({ NETQUIC_AEAD: "node:crypto" });
    assert.deepEqual(parts(aead), ["mixed", "native", "node:crypto", "preadv2"]);
    const back = chooseDatapath({ NETQUIC_AEAD: "openssl-evp", NETQUIC_DATAPATH: "portable" });
    assert.deepEqual(parts(back), ["mixed", "portable", "openssl-evp", "node:fs"]);
    for (const { notes } of [aead, back]) assert.deepEqual(notes, []);
  });

  test("another value is an error that names what is allowed", () => {
    assert.throws(() => chooseDatapath({ NETQUIC_DATAPATH: "fast" }), {
      code: "ERR_INVALID_ARG_VALUE",
      message: 'NETQUIC_DATAPATH="fast" is neither native nor portable',
    });
    assert.throws(() => chooseDatapath({ NETQUIC_AEAD: "fast" }), {
      code: "ERR_INVALID_ARG_VALUE",
      message: 'NETQUIC_AEAD="fast" is neither openssl-evp nor node:crypto',
    });
  });

  test("a rung is called what its port calls itself", () => {
    for (const rungs of [RUNGS.udp, RUNGS.aead, RUNGS.files])
      for (const { name, make } of rungs as readonly Rung<{ name: string }>[]) assert.equal(make().name, name);
  });
});

for (const { name, make } of RUNGS.aead) {
  aeadContract(name, make, newPortableAead);
  aeadGatherContract(name, make);
  aeadPlainContract(name, make);
  aeadScatterContract(name, make);
}
