import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Failure } from "../failure.js";
import { parseFilter } from "./filter.js";
import { type ListedSocket, listSockets } from "./listed.js";

/** A socket of which only what a filter looks at is there. */
function socket(local: string, remote: string, state = "ESTAB", alpn = "h3", pid = 7): ListedSocket {
  const row = { local, remote, state, alpn: [alpn] } as ListedSocket["row"];
  return listSockets([
    { info: { pid } as ListedSocket["program"], sockets: [row], counters: {} as never, heldBytes: 0 },
  ])[0]!;
}

const V4 = socket("10.0.0.1:443", "10.9.9.9:50000");
const V6 = socket("[2001:db8::1]:8443", "[2001:db8::2]:50001", "CLOSING", "smbd", 9);
const LISTENER = socket("0.0.0.0:443", "", "LISTEN");

/** Which of the three the filter takes. */
function taken(...words: string[]): string {
  const { matches } = parseFilter(words);
  return [V4, V6, LISTENER].map((each) => (matches(each) ? "1" : "0")).join("");
}

function refused(...words: string[]): string {
  try {
    parseFilter(words);
  } catch (error) {
    assert.ok(error instanceof Failure && error.exitCode === 2);
    return error.message;
  }
  return "nothing";
}

describe("the expression", () => {
  test("without words takes everything", () => {
    assert.equal(taken(), "111");
  });

  test("compares ports, in one argument or in several; a listener has no peer", () => {
    assert.equal(taken("sport", "=", ":443"), "101");
    assert.equal(taken("sport=443"), "101");
    assert.equal(taken("dport >= 50000"), "110");
    assert.equal(taken("dport > :50000"), "010");
    assert.equal(taken("dport", "le", "50000"), "100");
    assert.equal(taken("sport != 443"), "010");
  });

  test("knows addresses and networks, with and without a port", () => {
    assert.equal(taken("src 10.0.0.1"), "100");
    assert.equal(taken("src 10.0.0.0/8"), "100");
    assert.equal(taken("src = 0.0.0.0/0"), "101");
    assert.equal(taken("dst 10.9.9.9:50000"), "100");
    assert.equal(taken("dst 10.9.9.9:50001"), "000");
    assert.equal(taken("dst [2001:db8::/32]".replace("/32]", "]/32")), "010");
    assert.equal(taken("dst 2001:db8::2"), "010");
    assert.equal(taken("dst [2001:db8::2]:50001"), "010");
    assert.equal(taken("dst [2001:db8::3]:50001"), "000");
  });

  test("knows protocols and processes", () => {
    assert.equal(taken("alpn smbd"), "010");
    assert.equal(taken("pid 7"), "101");
  });

  test("and binds closer than or, not closest; neighbours are joined by and", () => {
    assert.equal(taken("alpn smbd or sport = 443 and dport = 50000"), "110");
    assert.equal(taken("(alpn smbd or sport = 443) and dport = 50001"), "010");
    assert.equal(taken("not sport = 443 or alpn h3"), "111");
    assert.equal(taken("not ( sport = 443 or alpn smbd )"), "000");
    assert.equal(taken("sport = 443 dport = 50000"), "100");
    assert.equal(taken("!", "alpn", "h3"), "010");
  });

  test("names the word that is wrong", () => {
    assert.match(refused("frobnicate"), /"frobnicate"; sport, dport/);
    assert.match(refused("sport"), /ends too early/);
    assert.match(refused("sport 443"), /lacks a comparison after sport/);
    assert.match(refused("sport = 65536"), /"65536", which is no number up to 65535/);
    assert.match(refused("(sport = 1"), /lacks a \)/);
    assert.match(refused("sport = 1 )"), /ends before "\)"/);
    for (const wrong of ["10.0.0.256", "[::1", "10.0.0.0/33", "::1/129", "name"]) {
      assert.match(refused("src", wrong), /no address|no number|ends before/, wrong);
    }
  });
});

describe("states", () => {
  const states = (...words: string[]): string[] => [...(parseFilter(words).states ?? [])].sort();

  test("are added by state, taken away by exclude, and stand before the expression", () => {
    assert.equal(parseFilter(["sport = 1"]).states, null);
    assert.deepEqual(states("state established state syn-recv"), ["ESTAB", "SYN-RECV"]);
    assert.deepEqual(states("exclude listening", "exclude bucket", "exclude closed"), ["CLOSING", "ESTAB"]);
    assert.deepEqual(states("state all"), ["CLOSING", "ESTAB", "LISTEN", "SYN-RECV", "TIME-WAIT", "UNCONN"]);
    assert.deepEqual(states("state connected"), ["CLOSING", "ESTAB", "SYN-RECV", "TIME-WAIT"]);
    assert.equal(parseFilter(["state", "listening", "sport = 443"]).matches(V4), true);
    assert.match(refused("state gone"), /no state "gone"/);
    assert.match(refused("state"), /ends too early/);
  });
});
