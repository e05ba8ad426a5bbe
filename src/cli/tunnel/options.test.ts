import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Failure } from "../failure.js";
import { parseTunnel } from "./options.js";

const PIN = "ab".repeat(32);

function parse(line: string) {
  return parseTunnel(line.split(" "));
}

function refuses(line: string, message: RegExp): void {
  assert.throws(
    () => parse(line),
    (error) => error instanceof Failure && error.exitCode === 2 && message.test(error.message),
    line,
  );
}

const SERVER = "--listen 127.0.0.1:4433 --cert dev";
const CLIENT = "--connect example.org:4433";

describe("the command line of quic tunnel", () => {
  test("a server: what follows an --alpn belongs to it", () => {
    const line = `${SERVER} --alpn smb --to tcp://127.0.0.1:445 --alpn dns --to udp://[::1]:53 --to tcp://localhost:53`;
    assert.deepEqual(parse(line), {
      mode: "listen",
      listen: { host: "127.0.0.1", port: 4433 },
      services: [
        { alpn: "smb", reverse: false, tcp: { host: "127.0.0.1", port: 445 }, udp: null },
        { alpn: "dns", reverse: false, tcp: { host: "localhost", port: 53 }, udp: { host: "::1", port: 53 } },
      ],
      certPath: null,
      keyPath: null,
      clientCaPath: null,
      udpIdleSeconds: 60,
    });
  });

  test("a client, with its own certificate", () => {
    const line = `${CLIENT} --pin ${PIN} --cert c.pem --key k.pem --alpn smb --local tcp://[::1]:0 --udp-idle 5`;
    assert.deepEqual(parse(line), {
      mode: "connect",
      server: { host: "example.org", port: 4433 },
      services: [{ alpn: "smb", reverse: false, tcp: { host: "::1", port: 0 }, udp: null }],
      certPath: "c.pem",
      keyPath: "k.pem",
      caPath: null,
      pin: PIN,
      serverName: null,
      udpIdleSeconds: 5,
    });
  });

  test("--reverse turns the sides round, at a server for known clients only or when anybody may come", () => {
    const server = parse(`${SERVER} --client-ca ca.pem --alpn x --reverse --local tcp://0.0.0.0:80`);
    assert.equal(server.mode === "listen" && server.services[0]?.reverse, true);
    assert.equal(parse(`${SERVER} --any-client --alpn x --local tcp://0.0.0.0:80 --reverse`).mode, "listen");
    assert.equal(parse(`${CLIENT} --alpn x --reverse --to tcp://127.0.0.1:80`).mode, "connect");
    refuses(`${SERVER} --alpn x --reverse --local tcp://0.0.0.0:80`, /--client-ca FILE, or --any-client/);
    refuses(`${SERVER} --alpn x --local tcp://0.0.0.0:80`, /server without --reverse takes --to, not --local/);
    refuses(`${CLIENT} --alpn x --to tcp://127.0.0.1:80`, /client without --reverse takes --local, not --to/);
    refuses(`${CLIENT} --alpn x --reverse --local tcp://127.0.0.1:80`, /client with --reverse takes --to/);
  });

  test("says what is missing", () => {
    refuses("--alpn x", /give one of them/);
    refuses(`${SERVER}`, /--alpn NAME is missing/);
    refuses(`${SERVER} --alpn x`, /--alpn x wants --to tcp:/);
    refuses("--listen 127.0.0.1:1 --alpn x --to tcp://h:1", /--cert FILE --key FILE, or --cert dev/);
    refuses("--listen 127.0.0.1:1 --cert c.pem --alpn x --to tcp://h:1", /--cert and --key belong together/);
  });

  test("says what is wrong", () => {
    refuses(`${SERVER} ${CLIENT} --alpn x`, /exclude each other/);
    refuses(`${SERVER} --to tcp://h:1 --alpn x`, /--to stands before any --alpn/);
    refuses(`${SERVER} --alpn x --to http://h:1`, /neither tcp:/);
    refuses(`${SERVER} --alpn x --to tcp://h:0`, /is not tcp:\/\/HOST:PORT/);
    refuses(`${SERVER} --alpn x --to tcp://h:65536`, /is not tcp:\/\/HOST:PORT/);
    refuses(`${SERVER} --alpn x --to tcp://[h]:1`, /is not tcp:\/\/HOST:PORT/);
    refuses(`${SERVER} --alpn x --to tcp://h:1 --to tcp://h:2`, /two --to for tcp/);
    refuses(`${SERVER} --alpn x --to tcp://h:1 --alpn x --to tcp://h:2`, /stands there twice/);
    refuses(`${SERVER} --alpn x/reverse --to tcp://h:1`, /is no name/);
    refuses(`${SERVER} --alpn ${"x".repeat(248)} --to tcp://h:1`, /is no name/);
    refuses(`${SERVER} --alpn x --to tcp://h:1 --udp-idle 0`, /--udp-idle "0"/);
    refuses(`${CLIENT} --cert dev --key k.pem --alpn x --local tcp://h:1`, /--cert dev is for the server/);
    refuses(`${SERVER} --key k.pem --alpn x --to tcp://h:1`, /does not go with --cert dev/);
    refuses(`${SERVER} --ca c.pem --alpn x --to tcp://h:1`, /--ca is for the client/);
    refuses(`${CLIENT} --client-ca c.pem --alpn x --local tcp://h:1`, /--client-ca is for the server/);
    refuses(`${CLIENT} --pin 12 --alpn x --local tcp://h:1`, /--pin is not the SHA-256/);
    refuses(`${CLIENT} --pin ${PIN} --ca c.pem --alpn x --local tcp://h:1`, /--pin and --ca exclude/);
    refuses(`${CLIENT} --frobnicate`, /Unknown option '--frobnicate'/);
    refuses(`${CLIENT} file`, /Unexpected argument 'file'/);
    refuses(Array.from({ length: 65 }, (_, i) => `--alpn a${i} --to tcp://h:1`).join(" ") + ` ${SERVER}`, /64 --alpn/);
  });

  test("--help is asked for before anything is wrong", () => {
    assert.deepEqual(parse("--help --listen x"), { mode: "help" });
  });
});
