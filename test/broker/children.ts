/** Programs in processes of their own that get their clients from a host, for tests. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { connect, type QuicSession } from "#src/api/quic/index.js";
import { testCa, testLeaf } from "../api/support.js";
import type { ProgramOptions } from "./program.js";
import type { TestHost } from "./support.js";

const PROGRAM = fileURLToPath(new URL("program.js", import.meta.url));

export class Children {
  private readonly children: ChildProcess[] = [];
  private readonly sessions: QuicSession[] = [];

  constructor(private readonly host: TestHost) {}

  /** A program that is ready. */
  async start(name: string, idle = false): Promise<ChildProcess> {
    const { path, port } = this.host;
    const { cert: certs, key: keys } = testLeaf();
    const options: ProgramOptions = { host: path, name, address: `127.0.0.1:${port}`, certs, keys, idle };
    const child = spawn(process.execPath, [PROGRAM, JSON.stringify(options)], { stdio: ["ignore", "pipe", "inherit"] });
    this.children.push(child);
    const [said] = (await once(child.stdout, "data")) as [Buffer];
    assert.match(said.toString(), /^ready/);
    return child;
  }

  /** A session with the program of that protocol, or the code that it ended with. */
  async meet(alpn: string): Promise<QuicSession | string> {
    const address = `127.0.0.1:${this.host.port}`;
    const session = await connect(address, { alpn, ca: testCa().cert, servername: "localhost" });
    this.sessions.push(session);
    session.closed.catch(() => {});
    try {
      await session.opened;
      return session;
    } catch (error) {
      return (error as { code: string }).code;
    }
  }

  stop(): void {
    for (const session of this.sessions) session.destroy();
    for (const child of this.children) child.kill("SIGKILL");
  }
}
