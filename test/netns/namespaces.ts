/**
 * Network namespaces for tests, joined by veth pairs over one bridge; everything has a name of this process and goes with
 * `dispose`, or with the process however it ends short of SIGKILL. Needs root and the `ip` command, `nft` for some.
 */

import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** Runs `ip`; throws with what it said. */
export function ip(...args: string[]): string {
  try {
    return execFileSync("ip", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  } catch (error) {
    throw new Error(`ip ${args.join(" ")}: ${(error as { stderr?: string }).stderr || String(error)}`);
  }
}

/** What the names of all namespaces begin with. */
export const NAME_PREFIX = "nq";

let tables = 0;

/**
 * Adds an nftables rule to a chain of its own in a namespace; returns what takes both away again.
 *
 * @param family `inet`, `bridge`, ...
 * @param hook of the chain, e.g. `hook output`
 */
export function nft({ name }: Leaf, family: string, hook: string, rule: string): () => void {
  const table = `${family} t${tables++}`;
  const run = (script: string): void => void ip("netns", "exec", name, "nft", script);
  run(`add table ${table}; add chain ${table} c { type filter ${hook} priority 0; }; add rule ${table} c ${rule}`);
  return () => run(`delete table ${table}`);
}

/** Stars whose namespaces are there. */
const stars = new Set<Star>();
process.once("exit", () => stars.forEach((star) => void star.dispose()));
for (const [signal, number] of [
  ["SIGINT", 2],
  ["SIGTERM", 15],
  ["SIGHUP", 1],
] as const) {
  process.once(signal, () => process.exit(128 + number));
}

export interface Leaf {
  /** Name of the namespace. */
  name: string;
  ipv4: string;
  ipv6: string;
}

let count = 0;

/** One namespace `hub` with a bridge, and leaves on it: 10.77.0.1 and fd77::1 for the hub, .2 and ::2 for the first leaf. */
export class Star {
  readonly hub: Leaf;
  readonly leaves: Leaf[] = [];
  private readonly children: ChildProcess[] = [];
  private readonly prefix = `${NAME_PREFIX}${process.pid}-${count++}`;

  constructor(leafCount: number, mtu: number) {
    stars.add(this);
    this.hub = this.leaf("hub", 1);
    try {
      ip("-n", this.hub.name, "link", "add", "br0", "type", "bridge");
      this.addAddresses(this.hub, "br0");
      for (let i = 0; i < leafCount; i++) this.addLeaf(i, mtu);
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  /** Starts a program of dist-test/netns in a namespace, with an IPC channel. */
  start(leaf: Leaf, program: string, env: NodeJS.ProcessEnv = {}): ChildProcess {
    const file = fileURLToPath(new URL(program, import.meta.url));
    const args = ["netns", "exec", leaf.name, process.execPath, file];
    const child = spawn("ip", args, {
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      env: { ...process.env, ...env },
    });
    this.children.push(child);
    return child;
  }

  /** A counter of a device, e.g. `tx_packets`. */
  counter(leaf: Leaf, device: string, counter: string): number {
    const [link] = JSON.parse(ip("-n", leaf.name, "-s", "-j", "link", "show", "dev", device)) as {
      stats64: Record<"tx" | "rx", Record<string, number>>;
    }[];
    const [direction, name] = counter.split("_") as ["tx" | "rx", string];
    const value = link?.stats64[direction][name];
    assert.ok(value !== undefined, counter);
    return value;
  }

  dispose(): void {
    stars.delete(this);
    for (const child of this.children) child.kill("SIGKILL");
    for (const { name } of [this.hub, ...this.leaves]) {
      try {
        ip("netns", "del", name);
      } catch {
        // it was never made
      }
    }
  }

  private addLeaf(index: number, mtu: number): void {
    const leaf = this.leaf(`leaf${index}`, index + 2);
    this.leaves.push(leaf);
    const port = `port${index}`;
    ip("-n", this.hub.name, "link", "add", port, "mtu", `${mtu}`, "type", "veth", "peer", "eth0", "netns", leaf.name);
    ip("-n", leaf.name, "link", "set", "eth0", "mtu", `${mtu}`);
    ip("-n", this.hub.name, "link", "set", port, "master", "br0", "up");
    this.addAddresses(leaf, "eth0");
  }

  private addAddresses(leaf: Leaf, device: string): void {
    ip("-n", leaf.name, "address", "add", `${leaf.ipv4}/24`, "dev", device);
    ip("-n", leaf.name, "address", "add", `${leaf.ipv6}/64`, "dev", device, "nodad");
    ip("-n", leaf.name, "link", "set", "lo", "up");
    ip("-n", leaf.name, "link", "set", device, "up");
  }

  private leaf(role: string, host: number): Leaf {
    const name = `${this.prefix}-${role}`;
    ip("netns", "add", name);
    return { name, ipv4: `10.77.0.${host}`, ipv6: `fd77::${host}` };
  }
}

/** Sends one message to a child and waits for its answer. */
export async function ask<T>(child: ChildProcess, message: object): Promise<T> {
  const given = new AbortController();
  const { signal } = given;
  try {
    child.send(message);
    const gone = once(child, "exit", { signal }).then(([code]) => {
      throw new Error(`the program ended with ${String(code)}`);
    });
    const [answer] = (await Promise.race([once(child, "message", { signal }), gone])) as [T];
    return answer;
  } finally {
    given.abort();
  }
}
