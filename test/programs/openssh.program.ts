/** OpenSSH through `quic tunnel`, while the client's address changes. */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, statSync } from "node:fs";
import { userInfo } from "node:os";
import { describe, test } from "node:test";
import { sha256 } from "../api/support.js";
import { type Machine, program, until, untilAccepting, withMachine } from "./machine.js";
import { freeTcpPort } from "../support/ports.js";

/** sshd with keys of its own, for the user who runs this. */
async function startSshd(machine: Machine): Promise<number> {
  const port = await freeTcpPort();
  const keygen = program("ssh-keygen", "openssh-client");
  for (const name of ["host", "user"]) {
    await machine.ok(keygen, ["-q", "-t", "ed25519", "-N", "", "-f", machine.path(name)]);
  }
  machine.file("authorized", readFileSync(machine.path("user.pub")));
  const conf = machine.file(
    "sshd.conf",
    `ListenAddress 127.0.0.1
Port ${port}
HostKey ${machine.path("host")}
AuthorizedKeysFile ${machine.path("authorized")}
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
`,
  );
  if (process.getuid?.() === 0) mkdirSync("/run/sshd", { recursive: true, mode: 0o755 }); // as its init script does
  const sshd = machine.start(program("sshd", "openssh-server"), ["-D", "-e", "-f", conf]);
  await untilAccepting(sshd, port);
  return port;
}

describe("OpenSSH", () => {
  test(
    "a long transfer goes on while the client's address changes four times",
    withMachine(async (machine) => {
      const ssh = program("ssh", "openssh-client");
      const target = await startSshd(machine);
      const { server, client, port } = await machine.tunnel("ssh", target);
      const hostKey = readFileSync(machine.path("host.pub"), "utf8").split(" ").slice(0, 2).join(" ");
      const known = machine.file("known", `[127.0.0.1]:${port} ${hostKey}\n`);
      const options = [
        "-F",
        "none",
        "-i",
        machine.path("user"),
        "-p",
        port,
        "-l",
        userInfo().username,
        "-o",
        "BatchMode=yes",
      ];
      const login = [...options, "-o", `UserKnownHostsFile=${known}`, "-o", "StrictHostKeyChecking=yes", "127.0.0.1"];
      assert.equal((await machine.ok(ssh, [...login, "echo hello"])).toString(), "hello\n");

      const bytes = randomBytes(40_000_000);
      const sent = machine.run(ssh, [...login, `tee ${machine.path("arrived")}`], bytes);
      for (const move of [1, 2, 3, 4]) {
        await until(() => sizeOf(machine.path("arrived")) > (move * bytes.length) / 8);
        client.child.kill("SIGUSR2");
        await until(() => client.output().split("ssh: moved").length > move);
      }
      const { code, stdout, stderr } = await sent;
      assert.equal(code, 0, stderr);
      assert.equal(sha256(stdout), sha256(bytes), "what came back");
      assert.equal(sha256(readFileSync(machine.path("arrived"))), sha256(bytes), "what arrived");
      assert.ok(server.output().split("ssh: moved").length > 4, server.output());
      assert.doesNotMatch(client.output(), /disconnected/);
    }),
  );
});

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
