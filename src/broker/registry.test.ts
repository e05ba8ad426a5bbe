import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ADDR_COLS, ADDR_LOCAL_IP0 } from "../port/udp.js";
import { addressToWords } from "../runtime/address.js";
import { EADDRINUSE } from "../socket/errno.js";
import type { Wanted } from "./messages.js";
import { Registry } from "./registry.js";

const wants = (alpn: string[], more: Partial<Wanted> = {}): Wanted => ({
  alpn,
  serverNames: [],
  reusePort: false,
  retry: false,
  ...more,
});
const at = (address: string, port = 443) => ({ address, port, ipv6Only: false });

function called(local: string): Int32Array {
  const addr = new Int32Array(ADDR_COLS);
  addressToWords(local, addr, ADDR_LOCAL_IP0);
  return addr;
}

/** Registers `h3` at `address` for user 1, then asks for another one. */
function second(first: string, uid: number, address: string, wanted: Wanted, firstWanted = wants(["h3"])): unknown {
  const registry = new Registry<string>();
  registry.add("first", 1, at(first), firstWanted);
  return registry.add("second", uid, at(address), wanted);
}

describe("lists of programs on one port", () => {
  test("B01 a list of another user with a protocol of the first is EADDRINUSE, wherever both could hear it", () => {
    const refused: [string, string, Wanted][] = [
      ["127.0.0.1", "127.0.0.1", wants(["h3"])],
      ["127.0.0.1", "127.0.0.1", wants(["h3", "smb"])],
      ["127.0.0.1", "0.0.0.0", wants(["h3"])],
      ["127.0.0.1", "::", wants(["h3"])],
      ["0.0.0.0", "127.0.0.1", wants(["h3"])],
      ["::", "127.0.0.1", wants(["h3"])],
      ["::", "::1", wants(["h3"])],
      ["127.0.0.1", "::ffff:127.0.0.1", wants(["h3"])],
      ["127.0.0.1", "127.0.0.1", wants(["h3"], { reusePort: true })],
      ["127.0.0.1", "127.0.0.1", wants(["h3"], { serverNames: ["a.example"] })],
    ];
    for (const [first, address, wanted] of refused) {
      assert.equal(second(first, 2, address, wanted), -EADDRINUSE, `${first} then ${address}`);
    }
  });

  test("another user may have other protocols, addresses, ports and names", () => {
    const registry = new Registry<string>();
    registry.add("first", 1, at("127.0.0.1"), wants(["h3"], { serverNames: ["a.example"] }));
    assert.equal(typeof registry.add("x", 2, at("127.0.0.1"), wants(["smb"])), "object");
    assert.equal(typeof registry.add("x", 2, at("127.0.0.1"), wants([])), "object");
    assert.equal(typeof registry.add("x", 2, at("127.0.0.2"), wants(["h3"])), "object");
    assert.equal(typeof registry.add("x", 2, at("::1"), wants(["h3"])), "object");
    assert.equal(typeof registry.add("x", 2, at("127.0.0.1", 444), wants(["h3"])), "object");
    const other = wants(["h3"], { serverNames: ["b.example"] });
    assert.equal(typeof registry.add("x", 2, at("127.0.0.1"), other), "object");
    const wild = wants(["h3"], { serverNames: ["*.example"] });
    assert.equal(registry.add("x", 2, at("127.0.0.1"), wild), -EADDRINUSE);
  });

  test("LINUX-QUIC 1.7 one user: equal lists only as a REUSEPORT group, overlapping ones never, exact beside wildcard", () => {
    const group = wants(["h3"], { reusePort: true });
    assert.equal(second("127.0.0.1", 1, "127.0.0.1", wants(["h3"])), -EADDRINUSE);
    assert.equal(second("127.0.0.1", 1, "127.0.0.1", wants(["h3", "smb"])), -EADDRINUSE);
    assert.equal(typeof second("127.0.0.1", 1, "127.0.0.1", group, group), "object");
    assert.equal(typeof second("127.0.0.1", 1, "::", wants(["h3"])), "object");
  });

  test("B02 the first one keeps its clients: exact address and name win for one user's programs", () => {
    const registry = new Registry<string>();
    registry.add("wide", 1, at("::"), wants(["h3"]));
    registry.add("exact", 1, at("127.0.0.2"), wants(["h3"]));
    const hello = { alpn: ["h3"], serverName: "" };
    assert.equal(registry.match(443, hello, called("127.0.0.2"))?.owner, "exact");
    assert.equal(registry.match(443, hello, called("127.0.0.3"))?.owner, "wide");
    assert.equal(registry.match(443, { alpn: ["*"], serverName: "" }, called("127.0.0.3")), null);
    assert.equal(registry.match(444, hello, called("127.0.0.3")), null);
  });

  test("a name is free as soon as it was given back", () => {
    const registry = new Registry<string>();
    const first = registry.add("first", 1, at("127.0.0.1"), wants(["h3"]));
    assert.equal(registry.add("second", 2, at("127.0.0.1"), wants(["h3"])), -EADDRINUSE);
    if (typeof first === "number") throw new Error("refused");
    registry.remove(first);
    assert.equal(typeof registry.add("second", 2, at("127.0.0.1"), wants(["h3"])), "object");
  });
});
