import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { QuicSession } from "../quic/index.js";
import { Carrier } from "./carrier.js";
import { FlowTable } from "./flows.js";
import { MAX_FLOWS } from "./limits.js";
import { SendBudget, shareOf } from "./send-budget.js";
import { tunnelOptions } from "./session-options.js";

describe("bounds of a tunnel", () => {
  test("256 connections wait for a tunnel that is down; the next one is turned away", async () => {
    const carrier = new Carrier();
    const giveUp = new AbortController();
    const waiting = Array.from({ length: 256 }, () => carrier.whenUp(60_000, giveUp.signal));
    const soon = new Promise<string>((resolve) => setImmediate(resolve, "it waits"));
    assert.equal(await Promise.race([waiting[255], soon]), "it waits");
    assert.equal(await Promise.race([carrier.whenUp(60_000, giveUp.signal), soon]), null);
    giveUp.abort();
    assert.deepEqual(new Set(await Promise.all(waiting)), new Set([null]));
  });

  test("256 flows", () => {
    let gone = 0;
    const flows = new FlowTable<null>(MAX_FLOWS, 1000, () => gone++);
    for (let flow = 0; flow < 257; flow++) flows.add(flow, null, flow);
    assert.deepEqual([flows.size, gone], [256, 1]);
  });

  test("32 MiB wait in one QUIC connection, and 512 MiB in all of a tunnel, but 1 MiB in each", () => {
    assert.deepEqual([1, 16, 32, 4096].map(shareOf), [32 << 20, 32 << 20, 16 << 20, 1 << 20]);
    const budget = new SendBudget();
    const session = { ext: { sendHeldBytes: (32 << 20) - 1 } };
    budget.add(session as unknown as QuicSession);
    assert.equal(budget.hasRoom(session as unknown as QuicSession), true);
    session.ext.sendHeldBytes++;
    assert.equal(budget.hasRoom(session as unknown as QuicSession), false);
  });

  test("512 streams of the side that is dialled for, none of the other", () => {
    assert.equal(tunnelOptions(true).transportParams.initialMaxStreamsBidi, 512);
    assert.equal(tunnelOptions(false).transportParams.initialMaxStreamsBidi, 0);
    assert.equal(tunnelOptions(true).transportParams.initialMaxStreamsUni, 0);
  });
});
