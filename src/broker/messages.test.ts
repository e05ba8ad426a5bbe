import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { encode, readReply, readRequest, type Reply, type Request } from "./messages.js";

const place = { address: "::1", port: 443, ipv6Only: false };
const route = { route: 3, generation: 4_000_000_000, key: new Uint8Array(16).fill(200) };
const wanted = { alpn: ["h3", "\xff"], serverNames: ["a.example", "*.b.example"], reusePort: true, retry: false };

const REQUESTS: readonly Request[] = [
  { op: "hello", version: 1, resume: null },
  { op: "hello", version: 1, resume: route },
  { op: "kept", place, indexes: [0, 1] },
  { op: "bind", id: 1, place, index: -1 },
  { op: "unbind", id: 1 },
  { op: "listen", id: 2, bind: 1, wanted },
  { op: "unlisten", id: 2 },
];

const REPLIES: readonly [Reply, fds: number][] = [
  [{ op: "welcome", route, trusted: true, limits: null }, 0],
  [{ op: "refused", code: "EACCES", message: "no" }, 0],
  [{ op: "bound", id: 1, place, group: { ...place, address: "::" }, index: 2 }, 1],
  [{ op: "done", id: 2, code: "", message: "" }, 0],
  [{ op: "keep", group: place, index: 0 }, 1],
];

/** A request with one of its fields changed. */
function changed(request: Request, path: string, value: unknown): Uint8Array {
  const copy = JSON.parse(Buffer.from(encode(request)).toString()) as Record<string, unknown>;
  const steps = path.split(".");
  const last = steps.pop() as string;
  let at = copy;
  for (const step of steps) at = at[step] as Record<string, unknown>;
  at[last] = value;
  return Buffer.from(JSON.stringify(copy));
}

describe("messages between a program and the host", () => {
  test("are read as they were written", () => {
    for (const request of REQUESTS) {
      assert.deepEqual(readRequest(encode(request), request.op === "kept" ? 2 : 0), request);
    }
    for (const [reply, fds] of REPLIES) assert.deepEqual(readReply(encode(reply), fds), reply);
  });

  test("descriptors come with those that have some, and as many", () => {
    assert.equal(readRequest(encode(REQUESTS[0] as Request), 1), null);
    assert.equal(readRequest(encode(REQUESTS[2] as Request), 1), null);
    assert.equal(readReply(encode({ op: "keep", group: place, index: 0 }), 0), null);
    assert.equal(readReply(encode({ op: "done", id: 1, code: "", message: "" }), 1), null);
  });

  test("B06 a field that is missing, of another type or out of its range makes the message nothing", () => {
    const [, hello, kept, bind, , listen] = REQUESTS as readonly [Request, Request, Request, Request, Request, Request];
    const wrong: [Request, path: string, values: unknown[]][] = [
      [hello, "op", ["", "Hello", 1, null, "__proto__"]],
      [hello, "version", [0, 1.5, "1", null]],
      [hello, "resume", [undefined, {}, [], 1]],
      [hello, "resume.route", [0, 256, -1, null]],
      [hello, "resume.generation", [-1, 2 ** 32, "4"]],
      [hello, "resume.key", ["", "00", "zz".repeat(16), "00".repeat(17), null]],
      [kept, "indexes", [[-1, 0], ["0", 1], {}, new Array(300).fill(0)]],
      [bind, "id", [-1, 2 ** 31, 0.5, null]],
      [bind, "place", [null, {}]],
      [bind, "place.address", ["", "localhost", "1.2.3", "::1%lo%", 1]],
      [bind, "place.port", [-1, 65_536, "443"]],
      [bind, "place.ipv6Only", [0, null]],
      [bind, "index", [-2, 1e9]],
      [listen, "bind", [null, "1"]],
      [listen, "wanted.alpn", ["h3", [1], ["\u0100"], ["x".repeat(256)], new Array(65).fill("x")]],
      [listen, "wanted.serverNames", [["A.example"], ["a b"], ["*"], ["x.*.y"], ["é"]]],
      [listen, "wanted.reusePort", [1, undefined]],
    ];
    for (const [request, path, values] of wrong) {
      for (const value of values) {
        const bytes = changed(request, path, value);
        const fds = request.op === "kept" ? 2 : 0;
        assert.equal(readRequest(bytes, fds), null, `${path}: ${JSON.stringify(value)}`);
      }
    }
  });

  test("B02 there is no ALPN for all", () => {
    const listen = REQUESTS[5] as Request;
    assert.equal(readRequest(changed(listen, "wanted.alpn", ["*"]), 0), null);
  });
});

const ROUTE = { route: 1, generation: 2, key: new Uint8Array(16).fill(7) };
const LIMITS = { memBytes: [1, 2, 3], rmemBytes: null, wmemBytes: [4, 4, 5] } as const;

function bytes(message: object): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(message));
}

describe("what is said of memory", () => {
  test("a program says what it holds, as a whole number", () => {
    assert.deepEqual(readRequest(encode({ op: "held", bytes: 5 }), 0), { op: "held", bytes: 5 });
    assert.deepEqual(readRequest(encode({ op: "held", bytes: 0 }), 0), { op: "held", bytes: 0 });
    for (const wrong of [-1, 1.5, "5", null, 2 ** 53])
      assert.equal(readRequest(bytes({ op: "held", bytes: wrong }), 0), null);
    assert.equal(readRequest(encode({ op: "held", bytes: 5 }), 1), null, "no descriptor comes with it");
  });

  test("a host says which limits hold, and how short memory is", () => {
    const welcome: Reply = { op: "welcome", route: ROUTE, trusted: true, limits: LIMITS };
    assert.deepEqual(readReply(encode(welcome), 0), welcome);
    assert.deepEqual(readReply(encode({ ...welcome, limits: null }), 0), { ...welcome, limits: null });
    assert.deepEqual(readReply(encode({ op: "memory", level: "high" }), 0), { op: "memory", level: "high" });
    assert.equal(readReply(bytes({ op: "memory", level: "gone" }), 0), null);
  });

  test("limits that are none end the conversation", () => {
    const welcome = JSON.parse(
      new TextDecoder().decode(encode({ op: "welcome", route: ROUTE, trusted: true, limits: LIMITS })),
    );
    for (const limits of [
      5,
      {},
      { ...LIMITS, memBytes: null },
      { ...LIMITS, memBytes: [3, 2, 4] },
      { ...LIMITS, wmemBytes: [1, 2] },
      { ...LIMITS, rmemBytes: [0, 1, 2] },
    ]) {
      assert.equal(readReply(bytes({ ...welcome, limits }), 0), null, JSON.stringify(limits));
    }
    delete welcome.limits;
    assert.equal(readReply(bytes(welcome), 0), null);
  });
});
