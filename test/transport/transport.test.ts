import type { ConnectionConfig } from "#src/conn/config.js";
import { Pair } from "../support/pair.js";
import { type TransportLimits, type TransportPair, transportContract } from "./transport.contract.js";

function config(limits: Partial<TransportLimits>): Partial<ConnectionConfig> {
  const out: Partial<ConnectionConfig> = {};
  if (limits.streamWindowBytes !== undefined) {
    out.initialMaxStreamDataBidiLocal = out.initialMaxStreamDataBidiRemote = limits.streamWindowBytes;
    out.initialMaxStreamDataUni = out.streamWindowMaxBytes = limits.streamWindowBytes;
  }
  if (limits.connWindowBytes !== undefined) out.initialMaxData = out.connWindowMaxBytes = limits.connWindowBytes;
  if (limits.streamsBidi !== undefined) out.initialMaxStreamsBidi = limits.streamsBidi;
  if (limits.sendBufferBytes !== undefined) out.sendBufferBytes = limits.sendBufferBytes;
  return out;
}

transportContract("conn/connection", (limits): TransportPair => {
  const pair = new Pair({ client: config(limits), server: config(limits) });
  pair.settle();
  if (pair.serverConn === null) throw new Error("no server connection");
  return {
    client: pair.clientConn,
    server: pair.serverConn,
    clientEvents: pair.clientEvents,
    serverEvents: pair.serverEvents,
    run: (micros) => pair.advance(micros),
  };
});
