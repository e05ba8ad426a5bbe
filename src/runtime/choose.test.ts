import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { chooseDatapath } from "./choose.js";

describe("choice of the datapath", () => {
  const broken = {
    newNativeAead(): never {
      throw new Error("no addon here");
    },
  };

  test("native where it is there, by default and on demand, without a note", () => {
    for (const env of [{}, { NETQUIC_DATAPATH: "" }, { NETQUIC_DATAPATH: "native" }]) {
      const chosen = chooseDatapath(env);
      assert.deepEqual([chosen.name, chosen.udp.name, chosen.aead.name], ["native", "native", "openssl-evp"]);
      assert.deepEqual(chosen.notes, []);
    }
  });

  test("portable on demand, without a note", () => {
    const chosen = chooseDatapath({ NETQUIC_DATAPATH: "portable" }, broken);
    assert.deepEqual([chosen.name, chosen.udp.name, chosen.aead.name], ["portable", "portable", "node:crypto"]);
    assert.deepEqual(chosen.notes, []);
  });

  test("what does not load degrades with one note that says why, and is an error when it was forced", () => {
    const chosen = chooseDatapath({}, broken);
    assert.equal(chosen.name, "portable");
    assert.equal(chosen.notes.length, 1);
    assert.match(chosen.notes[0] ?? "", /no addon here/);
    assert.throws(() => chooseDatapath({ NETQUIC_DATAPATH: "native" }, broken), /no addon here/);
  });

  test("another value is an error that names what is allowed", () => {
    assert.throws(() => chooseDatapath({ NETQUIC_DATAPATH: "fast" }), {
      code: "ERR_INVALID_ARG_VALUE",
      message: 'NETQUIC_DATAPATH="fast" is neither native nor portable',
    });
  });
});
