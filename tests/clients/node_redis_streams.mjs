// node-redis: the helpers for streams and their groups, in both protocols, waiting, a restart.
import assert from "node:assert/strict";
import { createClient } from "redis";
import { done, host, port, restart, until, version, versionOf, warm } from "./common.mjs";

const plain = (found) => JSON.parse(JSON.stringify(found));

/** The entries of the one stream that was read, in either protocol. */
function read(reply) {
  if (reply === null) return null;
  const streams = plain(reply);
  return Array.isArray(streams) ? streams[0].messages : Object.values(streams)[0];
}

const ids = (entries) => entries.map(({ id }) => id);

async function entries(client) {
  await client.flushDb();
  for (let number = 1; number <= 10; number++) {
    assert.equal(await client.xAdd("s", `${number}-0`, { number: String(number) }), `${number}-0`);
  }
  assert.match(await client.xAdd("own", "*", { f: "v" }), /^\d+-0$/);
  const options = { NOMKSTREAM: true, TRIM: { strategy: "MAXLEN", strategyModifier: "=", threshold: 8 } };
  assert.equal(await client.xAdd("s", "11-0", { number: "11" }, options), "11-0");
  assert.equal(await client.xLen("s"), 8);
  assert.deepEqual(plain(await client.xRange("s", "-", "+", { COUNT: 1 })), [{ id: "4-0", message: { number: "4" } }]);
  assert.deepEqual(ids(await client.xRevRange("s", "+", "(9-0")), ["11-0", "10-0"]);
  assert.equal(await client.xDel("s", ["4-0", "5-0", "99-0"]), 2);
  assert.equal(await client.xTrim("s", "MINID", 8), 2);
  assert.deepEqual(ids(read(await client.xRead({ key: "s", id: "9-0" }, { COUNT: 1 }))), ["10-0"]);
  assert.equal(await client.xRead({ key: "s", id: "$" }), null);
  assert.equal(await client.xRead({ key: "s", id: "$" }, { BLOCK: 20 }), null);
  const info = await client.xInfoStream("s");
  assert.deepEqual([info.length, info["last-generated-id"], info["first-entry"].id], [4, "11-0", "8-0"]);
}

async function waiting(client) {
  const reader = await client.duplicate().connect();
  const waits = reader.xRead({ key: "w", id: "$" }, { BLOCK: 0 });
  await until("the reader waits", async () => /blocked_clients:1/.test(await client.info("clients")));
  await client.xAdd("w", "1-1", { f: "1" });
  assert.deepEqual(ids(read(await waits)), ["1-1"]);
  reader.destroy();
}

async function groups(client) {
  await client.flushDb();
  assert.equal(await client.xGroupCreate("g", "workers", "0", { MKSTREAM: true }), "OK");
  await assert.rejects(client.xGroupCreate("g", "workers", "0"), /BUSYGROUP/);
  await Promise.all(Array.from({ length: 50 }, (_, i) => client.xAdd("g", `${i + 1}-0`, { job: String(i) })));
  const next = (consumer, COUNT) =>
    client.xReadGroup("workers", consumer, { key: "g", id: ">" }, { COUNT }).then(read).then(ids);
  const first = await next("alice", 30);
  assert.deepEqual([first.length, first[0]], [30, "1-0"]);
  assert.equal(await client.xAck("g", "workers", first.slice(0, 20)), 20);
  const pending = await client.xPending("g", "workers");
  assert.deepEqual([pending.pending, pending.firstId, pending.lastId], [10, "21-0", "30-0"]);
  const [entry] = await client.xPendingRange("g", "workers", "-", "+", 1);
  assert.deepEqual([entry.id, entry.consumer, entry.deliveriesCounter], ["21-0", "alice", 1]);
  assert.deepEqual(await client.xClaimJustId("g", "workers", "bob", 0, "21-0"), ["21-0"]);
  assert.deepEqual(ids(await client.xClaim("g", "workers", "bob", 0, ["22-0"])), ["22-0"]);
  const claimed = await client.xAutoClaim("g", "workers", "bob", 0, "0", { COUNT: 4 });
  assert.deepEqual([claimed.nextId, ids(claimed.messages)], ["25-0", ["21-0", "22-0", "23-0", "24-0"]]);
  assert.equal(await client.xGroupCreateConsumer("g", "workers", "carol"), 1);
  const consumers = (await client.xInfoConsumers("g", "workers")).map(({ name, pending }) => [name, pending]);
  assert.deepEqual(consumers, [["alice", 6], ["bob", 4], ["carol", 0]]);
  assert.equal(await client.xGroupDelConsumer("g", "workers", "bob"), 4);
  const [group] = await client.xInfoGroups("g");
  assert.deepEqual([group.name, group.pending, group["last-delivered-id"]], ["workers", 6, "30-0"]);
  if (warm) {
    await restart();
    await until("it serves again", () => client.ping().catch(() => null));
    assert.equal((await client.xPending("g", "workers")).pending, 6);
    const rest = await next("carol", 100);
    assert.deepEqual([rest.length, rest[0]], [20, "31-0"]);
  }
  assert.equal(await client.xGroupSetId("g", "workers", "$"), "OK");
  assert.equal(await client.xGroupDestroy("g", "workers"), 1);
}

version(versionOf("redis"));
for (const RESP of [2, 3]) {
  const client = createClient({ socket: { host, port }, RESP });
  client.on("error", () => {});
  await client.connect();
  await entries(client);
  await waiting(client);
  await groups(client);
  await client.close();
}
done();
