import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { concatBytes, fromHex, toHex } from "../base/bytes.js";
import { TAG_BYTES } from "../port/aead.js";
import type { AeadPort } from "../port/aead.js";
import type { Random } from "../port/random.js";
import { ADDR_COLS, ADDR_IP2, ADDR_IP3, ADDR_PORT } from "../port/udp.js";
import {
  MAX_TOKEN_BYTES,
  MAX_USED_TOKENS,
  NEW_TOKEN_SECONDS,
  RETRY_TOKEN_SECONDS,
  TOKEN_KEY_SECONDS,
} from "../proto/limits.js";
import { VERSION_1, VERSION_2 } from "../proto/version.js";
import { newPortableAead } from "../runtime/portable/aead.js";
import { addressKey, ADDRESS_KEY_BYTES, TokenKeys } from "./token.js";

const ODCID = fromHex("8394c8f03e515708");
const SCID = fromHex("0011223344556677");
const NOW = 1_800_000_000;
const HERE = address(0x7f000001, 4433);

function address(ip: number, port: number): Uint8Array {
  const addrs = new Int32Array(2 * ADDR_COLS);
  addrs[ADDR_COLS + ADDR_IP2] = 0xffff;
  addrs[ADDR_COLS + ADDR_IP3] = ip;
  addrs[ADDR_COLS + ADDR_PORT] = port;
  return addressKey(addrs, 1);
}

function counter(): Random {
  let next = 0;
  return {
    fill(buf, start, end) {
      next++;
      for (let i = start; i < end; i++) buf[i] = Math.imul(next, 0x9e3779b1) >>> (8 * (i % 4));
      buf[end - 1] = next;
      buf[end - 2] = next >> 8;
    },
  };
}

function make(secret = 1): TokenKeys {
  return new TokenKeys(newPortableAead(), counter(), new Uint8Array(32).fill(secret));
}

describe("Retry tokens", () => {
  test("RFC 9000 §8.1.2 a token gives back both ids at the address it was made for", () => {
    const keys = make();
    const token = keys.sealRetryToken(ODCID, SCID, VERSION_1, HERE, NOW);
    assert.deepEqual(keys.open(token, VERSION_1, HERE, NOW + 1), { kind: "retry", odcid: ODCID, retryScid: SCID });
    assert.ok(token.length <= MAX_TOKEN_BYTES);
    assert.equal(keys.isRetryToken(token), true);
  });

  test("a token of more than MAX_TOKEN_BYTES is not looked at", () => {
    const aead = newPortableAead();
    let opens = 0;
    const { openOnce } = aead;
    aead.openOnce = (...args) => {
      opens++;
      return openOnce.apply(aead, args);
    };
    const keys = new TokenKeys(aead, counter(), new Uint8Array(32));
    const start = keys.sealRetryToken(ODCID, SCID, VERSION_1, HERE, NOW);
    const most = new Uint8Array(MAX_TOKEN_BYTES);
    most.set(start);
    assert.equal(keys.open(most, VERSION_1, HERE, NOW), null);
    assert.equal(opens, 1);
    assert.equal(keys.open(concatBytes(most, new Uint8Array(1)), VERSION_1, HERE, NOW), null);
    assert.equal(opens, 1);
  });

  test("RFC 9369 §4.1 in another version it proves nothing, and says so", () => {
    const keys = make();
    const token = keys.sealRetryToken(ODCID, SCID, VERSION_1, HERE, NOW);
    assert.deepEqual(keys.open(token, VERSION_2, HERE, NOW), { kind: "other-version" });
    assert.equal(keys.open(token, VERSION_1, HERE, NOW)?.kind, "retry");
  });

  test("connection ids of 20 and 0 bytes survive", () => {
    const keys = make();
    const long = new Uint8Array(20).fill(9);
    const token = keys.sealRetryToken(long, new Uint8Array(0), VERSION_1, HERE, NOW);
    assert.deepEqual(keys.open(token, VERSION_1, HERE, NOW), {
      kind: "retry",
      odcid: long,
      retryScid: new Uint8Array(0),
    });
  });

  test("9000-8.1.2-01 every flipped byte, every cut and every other address is refused, and still looks like a Retry token", () => {
    const keys = make();
    const token = keys.sealRetryToken(ODCID, SCID, VERSION_1, HERE, NOW);
    for (let at = 1; at < token.length; at++) {
      const flipped = token.slice();
      flipped[at] ^= 1 << (at % 8);
      assert.equal(keys.open(flipped, VERSION_1, HERE, NOW), null);
      assert.equal(keys.isRetryToken(flipped), true);
      assert.equal(keys.open(token.slice(0, at), VERSION_1, HERE, NOW), null);
    }
    assert.equal(keys.open(token, VERSION_1, address(0x7f000002, 4433), NOW), null, "other host");
    assert.equal(keys.open(token, VERSION_1, address(0x7f000001, 4434), NOW), null, "other port");
    assert.equal(make(2).open(token, VERSION_1, HERE, NOW), null, "other secret");
  });

  test("RFC 9000 §8.1.4 a token lives RETRY_TOKEN_SECONDS, also when the clock is set back", () => {
    const keys = make();
    const token = keys.sealRetryToken(ODCID, SCID, VERSION_1, HERE, NOW);
    for (const sign of [1, -1]) {
      assert.notEqual(keys.open(token, VERSION_1, HERE, NOW + sign * RETRY_TOKEN_SECONDS), null);
      assert.equal(keys.open(token, VERSION_1, HERE, NOW + sign * (RETRY_TOKEN_SECONDS + 1)), null);
    }
  });

  test("RFC 9000 §8.1.4 an application may let tokens expire sooner or later, each kind for itself", () => {
    const keys = new TokenKeys(newPortableAead(), counter(), new Uint8Array(32).fill(1), 3, 7);
    for (const [token, seconds] of [
      [keys.sealRetryToken(ODCID, SCID, VERSION_1, HERE, NOW), 3],
      [keys.sealNewToken(VERSION_1, HERE, NOW), 7],
    ] as const) {
      assert.equal(keys.open(token, VERSION_1, HERE, NOW + seconds + 1), null);
      assert.notEqual(keys.open(token, VERSION_1, HERE, NOW + seconds), null);
    }
  });

  test("T18 random bytes of any length are refused", () => {
    const keys = make();
    const random = counter();
    for (let length = 0; length <= 2048; length += 7) {
      const token = new Uint8Array(length + 2);
      random.fill(token, 0, length + 2);
      token[0] = length % 2 === 0 ? 0x52 : 0x4e;
      assert.equal(keys.open(token, VERSION_1, HERE, NOW), null);
    }
  });
});

describe("NEW_TOKEN tokens", () => {
  test("RFC 9369 §5 one of another version validates nothing, and is not used up", () => {
    const keys = make();
    const token = keys.sealNewToken(VERSION_2, HERE, NOW);
    assert.equal(keys.open(token, VERSION_1, HERE, NOW), null);
    assert.deepEqual(keys.open(token, VERSION_2, HERE, NOW), { kind: "new" });
  });

  test("9000-8.1.4-01 a token holds for its IP address, from any port", () => {
    const keys = make();
    assert.deepEqual(keys.open(keys.sealNewToken(VERSION_1, HERE, NOW), VERSION_1, address(0x7f000001, 9), NOW), {
      kind: "new",
    });
    assert.equal(keys.open(keys.sealNewToken(VERSION_1, HERE, NOW), VERSION_1, address(0x7f000002, 4433), NOW), null);
  });

  test("9000-8.1.4-02 a token is taken once, by any server object with its memory", () => {
    const keys = make();
    const token = keys.sealNewToken(VERSION_1, HERE, NOW);
    assert.deepEqual(keys.open(token, VERSION_1, HERE, NOW), { kind: "new" });
    for (let i = 0; i < 100; i++) assert.equal(keys.open(token, VERSION_1, HERE, NOW + i), null);
  });

  test("RFC 9000 §8.1.3 every token differs", () => {
    const keys = make();
    const seen = new Set<string>();
    for (let i = 0; i < 100; i++) seen.add(toHex(keys.sealNewToken(VERSION_1, HERE, NOW)));
    assert.equal(seen.size, 100);
  });

  test("9000-8.1.3-01 a token of another secret, or an old one, is no token, and no Retry token", () => {
    const token = make(2).sealNewToken(VERSION_1, HERE, NOW);
    const keys = make();
    assert.equal(keys.open(token, VERSION_1, HERE, NOW), null);
    assert.equal(keys.isRetryToken(token), false);
    assert.equal(
      keys.open(keys.sealNewToken(VERSION_1, HERE, NOW), VERSION_1, HERE, NOW + NEW_TOKEN_SECONDS + 1),
      null,
    );
  });

  test("RFC 9000 §8.1.4 keys change each TOKEN_KEY_SECONDS; those before and after are taken, at any server of the secret", () => {
    const start = Math.ceil(NOW / TOKEN_KEY_SECONDS) * TOKEN_KEY_SECONDS;
    const token = make().sealNewToken(VERSION_1, HERE, start - 1);
    assert.deepEqual(make().open(token, VERSION_1, HERE, start), { kind: "new" }, "the key before");
    assert.notEqual(make().sealNewToken(VERSION_1, HERE, start)[1], token[1]);
    const ahead = make().sealRetryToken(ODCID, SCID, VERSION_1, HERE, start);
    assert.equal(make().open(ahead, VERSION_1, HERE, start - 1)?.kind, "retry", "a clock that is behind");
    const keys = make();
    for (let day = 0; day < 400; day++) {
      const now = start + day * TOKEN_KEY_SECONDS;
      assert.notEqual(keys.open(keys.sealNewToken(VERSION_1, HERE, now), VERSION_1, HERE, now), null);
      assert.equal(keys.open(token, VERSION_1, HERE, now + TOKEN_KEY_SECONDS), null);
    }
  });

  test("one kind cannot be passed off as the other", () => {
    const keys = make();
    const token = keys.sealNewToken(VERSION_1, HERE, NOW);
    token[0] = 0x52;
    assert.equal(keys.open(token, VERSION_1, HERE, NOW), null);
  });

  test("MAX_USED_TOKENS used ones are remembered; what is forgotten is refused, newer tokens are not", () => {
    const keys = new TokenKeys(unsealedAead(), counter(), new Uint8Array(32));
    const first = keys.sealNewToken(VERSION_1, HERE, NOW);
    assert.notEqual(keys.open(first, VERSION_1, HERE, NOW), null);
    for (let i = 1; i <= MAX_USED_TOKENS; i++) {
      const issued = NOW + 1 + Math.floor(i / 1000);
      const token = keys.sealNewToken(VERSION_1, HERE, issued);
      assert.notEqual(keys.open(token, VERSION_1, HERE, issued), null);
      if (i % 1000 === 0) assert.equal(keys.open(first, VERSION_1, HERE, issued), null);
    }
    assert.equal(
      keys.open(keys.sealNewToken(VERSION_1, HERE, NOW), VERSION_1, HERE, NOW),
      null,
      "unused, but issued before what was forgotten",
    );
    assert.notEqual(keys.open(keys.sealNewToken(VERSION_1, HERE, NOW + 100), VERSION_1, HERE, NOW + 100), null);
  });
});

describe("stateless reset tokens", () => {
  test("RFC 9000 §10.3.2 a token is the same for the same id and secret, and differs else", () => {
    const token = make().resetToken(ODCID);
    assert.equal(token.length, 16);
    assert.deepEqual(make().resetToken(ODCID), token);
    assert.notDeepEqual(make().resetToken(SCID), token);
    assert.notDeepEqual(make(2).resetToken(ODCID), token);
  });
});

test("an address key is the IPv6 form and the port in network order", () => {
  assert.equal(HERE.length, ADDRESS_KEY_BYTES);
  assert.equal(toHex(HERE), "00000000000000000000ffff7f0000011151");
  assert.equal(toHex(address(0xc0a80001 | 0, 65535)), "00000000000000000000ffffc0a80001ffff");
});

/** An aead that only derives keys and does not encrypt: for a test that is not about the cost of AES. */
function unsealedAead(): AeadPort {
  const aead = newPortableAead();
  aead.sealOnce = (_id, _key, _nonce, _aad, plain) => concatBytes(plain, new Uint8Array(TAG_BYTES));
  aead.openOnce = (_id, _key, _nonce, _aad, sealed) => sealed.slice(0, -TAG_BYTES);
  return aead;
}
