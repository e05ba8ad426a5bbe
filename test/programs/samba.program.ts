/** Samba behind `quic tunnel`: smbd does not know of it, and neither does smbclient. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { userInfo } from "node:os";
import { describe, test } from "node:test";
import { sha256 } from "../api/support.js";
import { type Machine, program, untilAccepting, withMachine } from "./machine.js";
import { freeTcpPort } from "../support/ports.js";

const PASSWORD = "a password for a test";

/** smbd with a configuration, a password file and a share of its own. */
async function startSamba(machine: Machine): Promise<{ port: number; share: string }> {
  const port = await freeTcpPort();
  const share = machine.folder("share");
  const state = machine.folder("state");
  const conf = machine.file(
    "smb.conf",
    `[global]
  server role = standalone server
  smb ports = ${port}
  interfaces = lo
  bind interfaces only = yes
  disable netbios = yes
  load printers = no
  printcap name = /dev/null
  passdb backend = tdbsam:${state}/passdb.tdb
  private dir = ${state}
  lock directory = ${state}
  state directory = ${state}
  cache directory = ${state}
  pid directory = ${state}
  ncalrpc dir = ${state}/ncalrpc
  log file = ${state}/log
[files]
  path = ${share}
  read only = no
`,
  );
  const user = userInfo().username;
  const smbpasswd = program("smbpasswd", "samba");
  await machine.ok(smbpasswd, ["-c", conf, "-L", "-s", "-a", user], `${PASSWORD}\n${PASSWORD}\n`);
  const smbd = machine.start(program("smbd", "samba"), [
    "--foreground",
    "--no-process-group",
    "--debug-stdout",
    `--configfile=${conf}`,
  ]);
  await untilAccepting(smbd, port);
  return { port, share };
}

describe("Samba", () => {
  test(
    "smbclient lists, puts, gets and removes through a tunnel with ALPN smb",
    withMachine(async (machine) => {
      const smbclient = program("smbclient", "smbclient");
      const { port: target, share } = await startSamba(machine);
      const { client, port } = await machine.tunnel("smb", target);
      const smb = async (command: string): Promise<string> => {
        const login = `${userInfo().username}%${PASSWORD}`;
        const where = ["-p", port, "-m", "SMB3", "-U", login, "--option=private dir=."];
        return (await machine.ok(smbclient, ["//127.0.0.1/files", ...where, "-c", command])).toString();
      };

      const bytes = randomBytes(20_000_000);
      machine.file("up.bin", bytes);
      await smb("put up.bin; mkdir folder");
      assert.equal(sha256(readFileSync(`${share}/up.bin`)), sha256(bytes), "what smbd wrote");
      assert.match(await smb("ls"), /folder +D[^]*up\.bin +A? +N? *20000000|up\.bin +[A-Z]* +20000000/);
      await smb("get up.bin down.bin");
      assert.equal(sha256(readFileSync(machine.path("down.bin"))), sha256(bytes), "what came back");
      await smb("rm up.bin");
      assert.doesNotMatch(await smb("ls"), /up\.bin/);

      client.child.kill("SIGINT");
      await machine.said(client, /smb: 5 connections.*, 19\.1 MiB in, 19\.1 MiB out/);
    }),
  );
});
