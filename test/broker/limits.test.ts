/** The limits of a host, at the limit. */

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Group } from "#src/broker/group.js";
import { HostClient } from "#src/broker/host-client.js";
import { SOCKET_LIMITS } from "#src/broker/link-limits.js";
import { BROKER_VERSION } from "#src/broker/messages.js";
import type { HostedProgram } from "#src/broker/program.js";
import { NO_HANDLER, RawProgram } from "./raw-program.js";
import { open, TestHost, until } from "./support.js";

const ANY = { address: "127.0.0.1", port: 0, ipv6Only: false };
const wanted = (name: string) => ({ alpn: [name], serverNames: [], reusePort: false, retry: false });

describe("what one program may have", () => {
  test("16 addresses", async () => {
    using host = await open();
    using program = new RawProgram(host);
    await program.hello();
    for (let id = 1; id <= 16; id++) await program.bind(0, id);
    program.say({ op: "bind", id: 17, place: ANY, index: -1 });
    assert.equal((await program.next("done")).code, "ENOBUFS");
    program.say({ op: "unbind", id: 3 });
    assert.equal((await program.next("done")).code, "");
    await program.bind(0, 17);
  });

  test("a port that was opened for a program is closed when there is no socket for it", async (t) => {
    using host = await new TestHost().start();
    using program = new RawProgram(host);
    await program.hello();
    const take = t.mock.method(Group.prototype, "take", () => {
      throw Object.assign(new Error("none"), { code: "EMFILE" });
    });
    program.say({ op: "bind", id: 1, place: ANY, index: -1 });
    assert.equal((await program.next("done")).code, "EMFILE");
    assert.deepEqual(host.host.places, []);
    take.mock.restore();
    await program.bind(0);
    assert.equal(host.host.places.length, 1);
  });

  test("256 lists", async () => {
    using host = await open();
    using program = await RawProgram.bound(host);
    for (let id = 2; id < 258; id++) {
      program.say({ op: "listen", id, bind: 1, wanted: wanted(`p${id}`) });
      assert.equal((await program.next("done")).code, "");
    }
    program.say({ op: "listen", id: 258, bind: 1, wanted: wanted("one more") });
    assert.equal((await program.next("done")).code, "ENOBUFS");
  });

  test("2,048 names in the lists of one other user, each list as one more", async () => {
    using host = await open({ ownUid: 4_000_000 });
    using one = await RawProgram.bound(host);
    using two = await RawProgram.bound(host);
    const names = (id: number) => Array.from({ length: 63 }, (_, i) => `${id}-${i}`);
    const asks = async (program: RawProgram, id: number, alpn: readonly string[]): Promise<string> => {
      program.say({ op: "listen", id, bind: 1, wanted: { ...wanted(""), alpn } });
      return (await program.next("done")).code;
    };
    for (let id = 2; id < 34; id++) assert.equal(await asks(id % 2 === 0 ? one : two, id, names(id)), "");
    assert.equal(await asks(one, 34, []), "ENOBUFS");
    one.say({ op: "unlisten", id: 2 });
    await one.next("done");
    assert.equal(await asks(two, 34, names(34)), "");
    assert.equal(await asks(two, 35, []), "ENOBUFS");
  });

  test("two seconds to say who it is", async () => {
    using host = await open();
    const startedAt = performance.now();
    using program = new RawProgram(host);
    await until(() => program.closed);
    const millis = performance.now() - startedAt;
    assert.ok(millis > 1990, `${millis} ms`);
  });

  test("1 MiB that it has not read", async () => {
    using host = await open();
    using program = new RawProgram(host);
    await program.hello();
    program.deafen();
    // each is answered with an error of a hundred bytes
    for (let id = 1; id < 100_000 && host.host.programCount === 1; id++) {
      program.say({ op: "listen", id, bind: 0, wanted: wanted("x") });
      assert.ok(host.host.queuedBytes <= 2 ** 20);
      if (id % 32 === 0) await sleep(0);
    }
    assert.equal(host.host.programCount, 0);
    assert.equal(SOCKET_LIMITS.maxQueuedBytes, 2 ** 20);
  });
});

describe("how many programs there may be", () => {
  test("512 connections", async () => {
    using host = await open();
    const programs: RawProgram[] = [];
    const startedAt = performance.now();
    for (let i = 0; i < 512; i++) {
      programs.push(new RawProgram(host));
      if (i % 32 === 0) await sleep(1);
    }
    using more = new RawProgram(host);
    more.say({ op: "hello", version: BROKER_VERSION, resume: null });
    await until(() => more.closed || more.replies.length > 0);
    // those that say nothing for two seconds make room
    const isInTime = performance.now() - startedAt < 1900;
    assert.ok(more.closed || !isInTime);
    for (const program of programs) program[Symbol.dispose]();
  });

  test("16 of those who are turned away: whoever may not use it keeps out nobody who may", async () => {
    const policy = { admits: () => false, mayBind: () => true, mayListen: () => true };
    using host = await open({ ownUid: 4_000_000, policy });
    const programs: RawProgram[] = [];
    for (let i = 0; i < 16; i++) programs.push(new RawProgram(host));
    await until(() => host.host["programs"].size === 16);
    using more = new RawProgram(host);
    await until(() => more.closed);
    assert.ok(programs.every(({ closed }) => !closed));
    host.host["options"].ownUid = process.getuid?.() ?? 0;
    host.host["options"].policy = { ...policy, admits: () => true };
    using own = new RawProgram(host);
    await own.hello();
    for (const program of programs) program[Symbol.dispose]();
  });

  test("252 sockets beside the host's at one port: a host that restarts gets them in one message", async () => {
    using host = await open();
    using _first = await RawProgram.bound(host);
    const [group] = host.host["openGroups"];
    const members = (group as Group)["members"];
    const [holder] = host.host["programs"];
    while (members.length < 251) members.push({ fd: 0, index: members.length + 1, holder: holder as HostedProgram });
    using own = await RawProgram.bound(host);
    own.say({ op: "bind", id: 2, place: { ...ANY, port: host.port }, index: -1 });
    assert.equal((await own.next("done")).code, "ENOBUFS");
  });

  test("16 of each other user", async () => {
    using host = await open({ ownUid: 4_000_000 });
    const programs: RawProgram[] = [];
    for (let i = 0; i < 16; i++) {
      programs.push(new RawProgram(host));
      await programs[i]?.hello();
    }
    using more = new RawProgram(host);
    more.say({ op: "hello", version: BROKER_VERSION, resume: null });
    assert.equal((await more.next("refused")).code, "EACCES");
    for (const program of programs) program[Symbol.dispose]();
  });
});

describe("a host that is started again", () => {
  test("waits a second for programs of before, then gives their routes away", async () => {
    using host = new TestHost();
    const key = "07".repeat(32);
    writeFileSync(`${host.dir}/host.json`, JSON.stringify({ key, routes: [[1, 1]] }), { mode: 0o600 });
    await host.start();
    const startedAt = performance.now();
    const client = await HostClient.connect(host.path);
    const millis = performance.now() - startedAt;
    assert.ok(millis > 900, `${millis} ms`);
    client.close();
  });

  test("takes the place of a dead socket only: a file of that name stays", async () => {
    using host = new TestHost();
    writeFileSync(host.path, "notes");
    await assert.rejects(host.start(), { code: "ECONNREFUSED" });
    assert.equal(readFileSync(host.path, "utf8"), "notes");
  });

  test("is found by its programs within a second", async () => {
    using host = await open();
    const client = await HostClient.connect(host.path);
    await client.provider.open({ address: "127.0.0.1", port: host.port }, NO_HANDLER);
    let bestMillis = Infinity;
    for (let i = 0; i < 5 && bestMillis >= 1000; i++) {
      host.stop();
      await host.start();
      const startedAt = performance.now();
      await until(() => host.host.programCount === 1);
      bestMillis = performance.now() - startedAt;
    }
    assert.ok(bestMillis < 1000, `${bestMillis} ms`);
    client.close();
  });
});
