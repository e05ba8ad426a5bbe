import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { after, before, describe, test } from "node:test";
import { issue, testCa, testLeaf } from "../api/support.js";
import { freeUdpPort } from "../support/ports.js";
import { makeFolder, type Running, runQuic, startQuic, until } from "./run-quic.js";

const folder = makeFolder();
let target: Server;

before(async () => {
  target = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    socket.pipe(socket);
  });
  target.listen(0, "127.0.0.1");
  await once(target, "listening");
  const { cert, key } = testLeaf();
  const client = issue(["client"]);
  const files = { ca: testCa().cert, cert, key, "client-cert": client.cert, "client-key": client.key };
  for (const [name, text] of Object.entries(files)) writeFileSync(folder.path(`${name}.pem`), text);
});
after(() => {
  target.close();
  folder.remove();
});

const pem = (name: string): string => folder.path(`${name}.pem`);
const toTarget = (): string[] => [
  "--alpn",
  "x",
  "--to",
  `tcp://127.0.0.1:${(target.address() as { port: number }).port}`,
];
const LOCAL = ["--alpn", "x", "--local", "tcp://127.0.0.1:0"];

async function said(running: Running, what: RegExp): Promise<string> {
  const match = await until(() => what.exec(running.stdout()));
  return match[1] ?? "";
}

async function serve(address: string, ...more: string[]): Promise<Running & { port: string }> {
  const running = startQuic([
    "tunnel",
    "--listen",
    address,
    "--cert",
    pem("cert"),
    "--key",
    pem("key"),
    ...toTarget(),
    ...more,
  ]);
  return { ...running, port: await said(running, /listening on .*:(\d+);/) };
}

/** Also where it accepts. */
async function join(port: string, ...more: string[]): Promise<Running & { accepts: string }> {
  const running = startQuic(["tunnel", "--connect", `localhost:${port}`, ...more, ...LOCAL]);
  const accepts = await said(running, /accepting tcp on 127.0.0.1:(\d+)/);
  return { ...running, accepts };
}

async function dial(port: string): Promise<Socket> {
  const socket = connect(Number(port), "127.0.0.1");
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

async function ask(socket: Socket, text: string): Promise<string> {
  socket.write(text);
  const [chunk] = (await once(socket, "data")) as [Buffer];
  return chunk.toString();
}

async function refuses(args: string[], code: number, line: RegExp): Promise<void> {
  const ended = await runQuic("tunnel", ...args);
  assert.match(ended.stderr, /^quic[^\n]*\n$/, "one line");
  assert.match(ended.stderr, line);
  assert.equal(ended.code, code);
}

describe("quic tunnel", () => {
  test("carries, moves at SIGUSR2, and ends with 0 and a line for each service at SIGINT", async () => {
    const server = await serve("127.0.0.1:0");
    const client = await join(server.port, "--ca", pem("ca"));
    const socket = await dial(client.accepts);
    assert.equal(await ask(socket, "one"), "one");
    client.child.kill("SIGUSR2");
    await said(client, /x: moved, (.*) to /);
    assert.equal(await ask(socket, "two"), "two");
    await said(server, /x: moved, (.*) to /);
    socket.destroy();

    client.child.kill("SIGINT");
    const ended = await client.ended;
    assert.deepEqual([ended.code, ended.stderr], [0, ""]);
    assert.match(ended.stdout, /\nx: 1 connection(?: \(0 refused, 1 reset\))?, 6 B in, 6 B out\n$/);
    await said(server, /x: disconnected, (.*)/);
    server.child.kill("SIGTERM");
    const serverEnded = await server.ended;
    assert.deepEqual([serverEnded.code, serverEnded.stderr], [0, ""]);
  });

  test("a server that is killed and started again: the client notices by itself, and is told nothing", async () => {
    const first = await serve(`127.0.0.1:${await freeUdpPort()}`);
    const client = await join(first.port, "--ca", pem("ca"));
    const socket = await dial(client.accepts);
    assert.equal(await ask(socket, "one"), "one");
    first.child.kill("SIGKILL");
    await first.ended;
    const reset = new Promise((resolve) => socket.once("close", resolve));
    socket.write("into the void");
    const second = await serve(`127.0.0.1:${first.port}`);
    await reset;
    const again = await dial(client.accepts);
    assert.equal(await ask(again, "two"), "two");
    assert.match(client.stdout(), /x: disconnected, .*: the server answered a new connection only; trying again/);
    again.destroy();
    for (const running of [client, second]) running.child.kill("SIGINT");
    assert.deepEqual([(await client.ended).code, (await second.ended).code], [0, 0]);
  });

  test("a certificate of its own for known clients, and --reverse with it", async () => {
    const server = startQuic([
      ...["tunnel", "--listen", "127.0.0.1:0", "--cert", pem("cert"), "--key", pem("key"), "--client-ca", pem("ca")],
      ...["--alpn", "x", "--reverse", "--local", "tcp://127.0.0.1:0"],
    ]);
    const accepts = await said(server, /accepting tcp on 127.0.0.1:(\d+)/);
    const address = `localhost:${await said(server, /listening on .*:(\d+);/)}`;
    const args = ["tunnel", "--connect", address, "--ca", pem("ca"), ...toTarget(), "--reverse"];
    const client = startQuic([...args, "--cert", pem("client-cert"), "--key", pem("client-key")]);
    await said(client, /x: (connected)/);
    const socket = await dial(accepts);
    assert.equal(await ask(socket, "back"), "back");
    for (const running of [client, server]) running.child.kill("SIGINT");
    assert.deepEqual([(await client.ended).code, (await server.ended).code], [0, 0]);
  });
});

describe("quic tunnel with bad input", { concurrency: 2 }, () => {
  test("--help", async () => {
    const { code, stdout } = await runQuic("tunnel", "--help");
    assert.equal(code, 0);
    assert.match(stdout, /^quic tunnel: /);
  });

  test("wrong usage is one line and exit code 2", async () => {
    await refuses([], 2, /give one of them; see quic tunnel --help/);
    await refuses(["--listen", "127.0.0.1:0", "--cert", "dev", "--alpn", "x"], 2, /--alpn x wants --to/);
  });

  test("files that are missing or hold something else are named", async () => {
    const listen = ["--listen", "127.0.0.1:0", ...toTarget()];
    await refuses([...listen, "--cert", pem("cert"), "--key", pem("none")], 1, /cannot read .*none.pem/);
    await refuses([...listen, "--cert", pem("key"), "--key", pem("key")], 1, /cannot use --cert .*key.pem with --key/);
    await refuses(["--connect", "127.0.0.1:1", "--ca", pem("key"), ...LOCAL], 1, /cannot use --ca .*key.pem/);
  });

  test("a port that is taken, and an address of another machine, are named", async () => {
    const { port } = target.address() as { port: number };
    const connectTo = ["--connect", "127.0.0.1:1", "--alpn", "x", "--local"];
    await refuses([...connectTo, `tcp://127.0.0.1:${port}`], 1, new RegExp(`127.0.0.1 port ${port} is in use`));
    await refuses([...connectTo, "tcp://192.0.2.1:0"], 1, /192.0.2.1.* is no address of this machine/);
    const nowhere = ["--connect", `${"x".repeat(64)}:1`, ...LOCAL]; // no name, whether there is a name server or not
    await refuses(nowhere, 1, /cannot find an address for x{64}$/m);
    await refuses([...connectTo, "udp://192.0.2.1:0"], 1, /is no address of this machine/);
    const listen = ["--listen", "192.0.2.1:4433", "--cert", "dev", ...toTarget()];
    const ended = await runQuic("tunnel", ...listen);
    assert.match(ended.stderr, /is no address of this machine/);
    assert.equal(ended.code, 1);
    assert.doesNotMatch(ended.stdout, /connections/, "no account of what never began");
  });

  test("a client that the server does not suit ends at once", async () => {
    const server = await serve("127.0.0.1:0");
    const to = ["--connect", `localhost:${server.port}`];
    await refuses([...to, ...LOCAL], 1, /TLS handshake .* failed/);
    await refuses([...to, "--ca", pem("ca"), "--alpn", "y", "--local", "tcp://127.0.0.1:0"], 1, /alert 120/);
    await refuses([...to, "--ca", pem("ca"), "--servername", "other", ...LOCAL], 1, /checked with --ca .*ca.pem/);
    server.child.kill("SIGINT");
    await server.ended;
  });
});
