import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Connection } from "#src/conn/connection.js";
import { SPACE_APP } from "#src/proto/space.js";
import { Pair } from "../support/pair.js";

function opened(): { pair: Pair; client: Connection; server: Connection } {
  const pair = new Pair();
  pair.settle();
  assert.ok(pair.serverConn !== null);
  pair.advance(1_000_000);
  return { pair, client: pair.clientConn, server: pair.serverConn };
}

function updates(client: Connection, server: Connection): number[] {
  return [client.stats().keyUpdates, server.stats().keyUpdates];
}

/** A stream each way that has to arrive whole with whatever keys. */
function transfer(pair: Pair, from: Connection, to: Connection): void {
  const id = from.open(0);
  from.write(id, new Uint8Array(50_000).fill(7), 0, 50_000, true);
  pair.advance(1_000_000);
  assert.equal(to.readable(id), 50_000);
  assert.equal(to.read(id, new Uint8Array(50_000), 0, 50_000), 50_000);
}

describe("a key update that the application asks for", () => {
  for (const asker of ["client", "server"] as const) {
    test(`RFC 9001 §6.1 the ${asker} begins it although it has nothing to send, and the other side follows`, () => {
      const { pair, client, server } = opened();
      assert.equal({ client, server }[asker].updateKeys(), true);
      pair.settle();
      assert.deepEqual(updates(client, server), [1, 1]);
      assert.deepEqual([client.keys.keyPhase, server.keys.keyPhase], [1, 1]);
      transfer(pair, client, server);
      transfer(pair, server, client);
    });
  }

  test("RFC 9001 §6.1 one before the handshake is confirmed waits for it", () => {
    const pair = new Pair();
    assert.equal(pair.clientConn.updateKeys(), true);
    pair.settle();
    pair.advance(1_000_000);
    assert.equal(pair.clientConn.closeInfo, null);
    assert.equal(pair.clientConn.stats().keyUpdates, 1);
    assert.equal(pair.serverConn?.stats().keyUpdates, 1);
  });

  test("RFC 9001 §6.5 a second one waits for three PTOs after the first was acknowledged, and is then one", () => {
    const { pair, client, server } = opened();
    client.updateKeys();
    pair.settle();
    pair.advance(40_000); // the acknowledgement takes its time
    const wait = 3 * client.recovery.ptoMicros(SPACE_APP);
    client.updateKeys();
    client.updateKeys(); // the same wish
    pair.settle();
    const untilMicros = client.keys.updateDeadlineMicros;
    assert.ok(untilMicros > pair.nowMicros + wait / 2 && untilMicros <= pair.nowMicros + wait, `${untilMicros}`);
    assert.ok(client.nextDeadline() <= untilMicros);
    pair.advance(Math.floor(untilMicros) - pair.nowMicros - 1);
    assert.deepEqual(updates(client, server), [1, 1]);
    pair.advance(2);
    assert.deepEqual(updates(client, server), [2, 2]);
    pair.advance(10_000_000);
    assert.deepEqual(updates(client, server), [2, 2]);
  });

  test("RFC 9001 §6.1 no second one while the first is not acknowledged", () => {
    const { pair, client, server } = opened();
    client.updateKeys();
    pair.filter = (fromClient) => !fromClient;
    pair.settle();
    client.updateKeys();
    pair.advance(2_000_000);
    assert.deepEqual(updates(client, server), [1, 0]);
    pair.filter = () => true;
    pair.advance(20_000_000);
    assert.deepEqual(updates(client, server), [2, 2]);
  });

  test("both sides at the same time make one update", () => {
    const { pair, client, server } = opened();
    client.updateKeys();
    server.updateKeys();
    pair.settle();
    assert.deepEqual(updates(client, server), [1, 1]);
    transfer(pair, client, server);
  });

  test("a connection that is closed has none", () => {
    const { pair, client } = opened();
    client.close("application", 0n, "");
    assert.equal(client.updateKeys(), false);
    pair.settle();
    assert.equal(client.stats().keyUpdates, 0);
  });
});
