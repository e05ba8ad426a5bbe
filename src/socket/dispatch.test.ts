import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { joinAlpnList, parseAlpnList } from "./alpn-list.js";
import { type ListenKey, Listeners } from "./dispatch.js";
import { EADDRINUSE } from "./errno.js";

function key(alpn: string, more: Partial<ListenKey> = {}): ListenKey {
  const names = parseAlpnList(alpn) ?? [];
  return { place: "::", isWildcard: true, family: "both", alpn: names, serverNames: [], reusePort: false, ...more };
}

function hello(alpn: string, serverName = ""): { alpn: string[]; serverName: string } {
  return { alpn: parseAlpnList(alpn) ?? [], serverName };
}

function table(...keys: ListenKey[]): { listeners: Listeners<number>; results: number[] } {
  const listeners = new Listeners<number>();
  const results = keys.map((one, i) => listeners.add(one, i));
  return { listeners, results };
}

describe("ALPN lists", () => {
  const cases: [text: string, names: string[] | null][] = [
    ["h3", ["h3"]],
    ["h3,smb", ["h3", "smb"]],
    [" h3,  smb ", ["h3", "smb "]],
    ["h3,", ["h3"]],
    ["a,,b", ["a", "", "b"]],
    ["", []],
    ["x".repeat(255), ["x".repeat(255)]],
    ["x".repeat(256), null],
  ];
  for (const [text, names] of cases) {
    test(`${JSON.stringify(text.slice(0, 20))} (${text.length} bytes)`, () =>
      assert.deepEqual(parseAlpnList(text), names));
  }

  test("get gives the list back with commas", () => assert.equal(joinAlpnList(["h3", "smb"]), "h3,smb"));
});

describe("listeners on one port", () => {
  test("disjoint lists share it, and one with a list shares with one without", () => {
    assert.deepEqual(table(key("smbd"), key("h3"), key("ksmbd"), key("")).results, [0, 0, 0, 0]);
  });

  test("a list that shares one protocol is EADDRINUSE, with REUSEPORT, too", () => {
    const reuse = { reusePort: true };
    assert.deepEqual(table(key("a,b", reuse), key("b,c", reuse)).results, [0, -EADDRINUSE]);
    assert.deepEqual(table(key("a,b"), key("c"), key("b,c")).results, [0, 0, -EADDRINUSE]);
  });

  test("equal lists are EADDRINUSE unless both have REUSEPORT; two without a list are equal", () => {
    assert.deepEqual(table(key("a"), key("a", { reusePort: true })).results, [0, -EADDRINUSE]);
    assert.deepEqual(table(key("a", { reusePort: true }), key("a", { reusePort: true })).results, [0, 0]);
    assert.deepEqual(table(key(""), key("")).results, [0, -EADDRINUSE]);
  });

  test("another address is another place", () => {
    assert.deepEqual(table(key("a"), key("a", { place: "127.0.0.1", isWildcard: false })).results, [0, 0]);
  });

  test("one protocol may have several server names", () => {
    const one = key("h3", { serverNames: ["one.test"] });
    const two = key("h3", { serverNames: ["two.test"] });
    assert.deepEqual(table(one, two, key("h3"), key("h3", { serverNames: ["two.test"] })).results, [
      0,
      0,
      0,
      -EADDRINUSE,
    ]);
  });

  test("removing one frees its protocols", () => {
    const { listeners } = table(key("a"));
    listeners.remove(0);
    assert.equal(listeners.size, 0);
    assert.equal(listeners.add(key("a"), 1), 0);
  });
});

describe("which listener a client gets", () => {
  test("the client's order decides", () => {
    const { listeners } = table(key("smbd"), key("h3"), key("ksmbd"));
    assert.equal(listeners.match(hello("none,ksmbd,h3"), 0), 2);
    assert.equal(listeners.match(hello("h3,smbd"), 0), 1);
    assert.equal(listeners.match(hello("other"), 0), null);
  });

  test("no list is only for clients that offer no protocol", () => {
    const { listeners } = table(key(""), key("h3"));
    assert.equal(listeners.match(hello(""), 0), 0);
    assert.equal(table(key("")).listeners.match(hello("h3"), 0), null);
    assert.equal(table(key("h3")).listeners.match(hello(""), 0), null);
  });

  test("names are compared byte by byte, with case", () => {
    assert.equal(table(key("h3")).listeners.match(hello("H3"), 0), null);
  });

  test("an exact address beats a wildcard, the wildcard of IPv4 that of both families", () => {
    const exact = key("h3", { place: "127.0.0.1", isWildcard: false, family: "IPv4" });
    const four = key("h3", { place: "0.0.0.0", family: "IPv4" });
    assert.equal(table(key("h3"), four, exact).listeners.match(hello("h3"), 0), 2);
    assert.equal(table(key("h3"), four).listeners.match(hello("h3"), 0), 1);
  });

  test("SNI is the second key: exact, then one label of a wildcard, then any", () => {
    const { listeners } = table(
      key("h3"),
      key("h3", { serverNames: ["*.example.org"] }),
      key("h3", { serverNames: ["a.example.org"] }),
    );
    assert.equal(listeners.match(hello("h3", "A.example.org"), 0), 2);
    assert.equal(listeners.match(hello("h3", "b.example.org"), 0), 1);
    assert.equal(listeners.match(hello("h3", "a.b.example.org"), 0), 0);
    assert.equal(listeners.match(hello("h3"), 0), 0);
  });

  test("a protocol whose names do not fit gives way to the client's next one", () => {
    const { listeners } = table(key("h3", { serverNames: ["a.test"] }), key("smb"));
    assert.equal(listeners.match(hello("h3,smb", "b.test"), 0), 1);
  });

  test("a group of REUSEPORT members is shared by the peer's address", () => {
    const { listeners } = table(key("a", { reusePort: true }), key("a", { reusePort: true }));
    assert.deepEqual(
      [0, 1, -1].map((hash) => listeners.match(hello("a"), hash)),
      [0, 1, 1],
    );
  });

  test("the order in which listeners came changes nothing", () => {
    const keys = [
      key("h3"),
      key("smb,x"),
      key("h3", { serverNames: ["a.test"] }),
      key("", { serverNames: ["a.test"] }),
    ];
    const order = fc.shuffledSubarray([0, 1, 2, 3], { minLength: 4 });
    const offers = fc.shuffledSubarray(["h3", "smb", "x", "y"]);
    fc.assert(
      fc.property(order, offers, fc.constantFrom("", "a.test", "b.test"), (indexes, alpn, serverName) => {
        const shuffled = new Listeners<number>();
        for (const i of indexes) assert.equal(shuffled.add(keys[i], i), 0);
        assert.equal(shuffled.match({ alpn, serverName }, 0), table(...keys).listeners.match({ alpn, serverName }, 0));
      }),
    );
  });
});
