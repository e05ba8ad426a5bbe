/**
 * The control socket of this process, `PID.sock` in the runtime dir: open from the first endpoint until the process exits.
 * It never keeps the process alive, and a program that cannot have one works without; only a runtime dir that was named and
 * cannot be used is worth a warning.
 */

import { unlinkSync } from "node:fs";
import { MAX_CONTROL_CONNECTIONS } from "../../proto/limits.js";
import { type FramedServer, listenFramed } from "../../runtime/framed-socket.js";
import { controlName, makeRuntimeDir, removeStaleSockets, runtimeDir, socketPath } from "../runtime-dir.js";
import { Asker } from "./answer.js";

/** Threads of one process, and copies of this package in it, have a socket each. */
const SOCKETS_PER_PROCESS = 64;

let opening: Promise<string | null> | null = null;

/** The path of the control socket, null where there is none; opened at the first call. */
export function openControlSocket(): Promise<string | null> {
  opening ??= open();
  return opening;
}

async function open(): Promise<string | null> {
  if (runtimeDir() === null) return null;
  try {
    const dir = makeRuntimeDir();
    const server = await listenFree(dir);
    server.unref();
    process.on("exit", () => remove(server.path));
    void removeStaleSockets(dir);
    return server.path;
  } catch (error) {
    if ((process.env["NETQUIC_RUNTIME_DIR"] ?? "") !== "") {
      process.emitWarning(`no control socket: ${(error as Error).message}`, { type: "NetquicWarning" });
    }
    return null;
  }
}

/** Listens at the first name of this process that is free. */
async function listenFree(dir: string): Promise<FramedServer> {
  for (let number = 0; ; number++) {
    const path = socketPath(dir, controlName(process.pid, number));
    try {
      return await listenFramed({
        path,
        maxConnections: MAX_CONTROL_CONNECTIONS,
        onConnection: (socket) => new Asker(socket),
        onError: () => {}, // nobody can ask any more
      });
    } catch (error) {
      const isTaken = (error as NodeJS.ErrnoException).code === "EADDRINUSE";
      if (!isTaken || number === SOCKETS_PER_PROCESS - 1) throw error;
    }
  }
}

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // somebody removed it
  }
}
