import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Wanted } from "../../broker/messages.js";
import { hostConfig, placeOf, policyOf } from "./config.js";

const at = (port: number) => ({ address: "::", port, ipv6Only: false });
const wants = (...alpn: string[]): Wanted => ({ alpn, serverNames: [], reusePort: false, retry: false });
const OWN = 1000;
const OTHER = 65_534;

describe("the configuration of quic host", () => {
  test("a port alone is that of all addresses", () => {
    assert.deepEqual(placeOf("443"), at(443));
    assert.deepEqual(placeOf(443), at(443));
    assert.deepEqual(placeOf("127.0.0.1:443"), { address: "127.0.0.1", port: 443, ipv6Only: false });
    for (const wrong of ["", "localhost:443", "1.2.3.4", "[::1]", "70000", 1.5, null]) {
      assert.throws(() => placeOf(wrong), `${String(wrong)}`);
    }
  });

  test("limits on memory have the names of sysctl; without any there are none", () => {
    const { limits } = hostConfig({ sysctl: { "net.quic.quic_mem": "1 2 3" } });
    assert.deepEqual([limits?.memBytes, limits?.rmemBytes], [[4096, 8192, 12_288], null]);
    assert.equal(hostConfig({}).limits, null);
  });

  test("what is unknown or of a wrong type is named", () => {
    const wrong: [unknown, RegExp][] = [
      [[], /object/],
      [{ port: [443] }, /port: is not known/],
      [{ ports: 443 }, /ports: must be a list/],
      [{ open: "no" }, /open/],
      [{ sysctl: [1] }, /sysctl: must be an object/],
      [{ sysctl: { "net.quic.quic_mem": [3, 2, 1] } }, /net.quic.quic_mem: 3 2 1: none may be above/],
      [{ allow: [{ user: 1 }] }, /ports is missing/],
      [{ allow: [{ user: "nobody here", ports: [1] }] }, /no user/],
      [{ allow: [{ user: 1, ports: [1], alpn: [] }] }, /alpn: is not known/],
      [{ allow: [{ user: 1, ports: [1], protocols: [""] }] }, /no name/],
    ];
    for (const [given, message] of wrong) assert.throws(() => hostConfig(given), message);
  });

  test("programs of its own user: low ports only where they are named, others unless open is false", () => {
    const policy = policyOf(hostConfig({ ports: [443] }), OWN);
    assert.ok(policy.admits({ pid: 1, uid: OWN, gid: 1 }));
    assert.ok(policy.mayBind(OWN, at(443)));
    assert.ok(!policy.mayBind(OWN, at(80)));
    assert.ok(policy.mayBind(OWN, at(1024)));
    assert.ok(policy.mayBind(OWN, at(0)));
    const closed = policyOf(hostConfig({ ports: [443], open: false }), OWN);
    assert.ok(closed.mayBind(OWN, at(443)));
    assert.ok(!closed.mayBind(OWN, at(1024)));
    assert.ok(!closed.mayBind(OWN, at(0)));
  });

  test("B03 other users have nothing, and what they are allowed for no more than that", () => {
    const nobody = policyOf(hostConfig({ ports: [443] }), OWN);
    assert.ok(!nobody.admits({ pid: 1, uid: OTHER, gid: 1 }));
    const some = policyOf(hostConfig({ allow: [{ user: OTHER, ports: [443], protocols: ["h3"] }] }), OWN);
    assert.ok(some.admits({ pid: 1, uid: OTHER, gid: 1 }));
    assert.ok(some.mayBind(OTHER, at(443)));
    assert.ok(!some.mayBind(OTHER, at(8443)));
    assert.ok(some.mayListen(OTHER, at(443), wants("h3")));
    assert.ok(!some.mayListen(OTHER, at(443), wants("h3", "smb")));
    assert.ok(!some.mayListen(OTHER, at(8443), wants("h3")));
  });
});
