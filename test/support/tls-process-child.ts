/** The far end of tls-process.ts: runs the TLS library of this Node for a parent that speaks port/tls over IPC. */

import type { TlsContext, TlsResult, TlsSession } from "#src/port/tls.js";
import { chooseTls } from "#src/runtime/choose-tls.js";
import type { Reply, Request } from "./tls-process.js";

const provider = chooseTls(process.env);
const contexts = new Map<number, TlsContext>();
const sessions = new Map<number, TlsSession>();
/** Contexts that could not be made, with the reason: it goes to the sessions that ask for them. */
const broken = new Map<number, string>();

function send(reply: Reply): void {
  process.send?.(reply);
}

function report(id: number, session: TlsSession): void {
  const results: TlsResult[] = [];
  for (let result = session.take(); result !== null; result = session.take()) results.push(result);
  if (results.length > 0) send({ op: "results", id, results });
}

function makeContext(request: Extract<Request, { op: "context" }>): void {
  try {
    contexts.set(
      request.id,
      request.role === "client" ? provider.newClientContext(request.config) : provider.newServerContext(request.config),
    );
  } catch (error) {
    broken.set(request.id, String(error));
  }
}

function makeSession(request: Extract<Request, { op: "session" }>): void {
  const { id, context, options } = request;
  try {
    const session = contexts.get(context)?.newSession(options);
    if (session === undefined) throw new Error(broken.get(context) ?? "the context is closed");
    sessions.set(id, session);
    report(id, session);
  } catch (error) {
    send({ op: "results", id, results: [{ kind: "alert", alert: 80, message: String(error) }] });
  }
}

function handle(request: Request): void {
  switch (request.op) {
    case "context":
      makeContext(request);
      return;
    case "session":
      makeSession(request);
      return;
    case "put": {
      const session = sessions.get(request.id);
      session?.put(request.level, request.bytes);
      if (session !== undefined) report(request.id, session);
      return;
    }
    case "allowEarlyData":
      sessions.get(request.id)?.allowEarlyData(request.alpn);
      return;
    case "close":
      sessions.get(request.id)?.close();
      sessions.delete(request.id);
      contexts.get(request.id)?.close();
      contexts.delete(request.id);
  }
}

process.on("message", (message) => handle(message as Request));
process.on("disconnect", () => process.exit(0));
send({ op: "ready", version: provider.version });
