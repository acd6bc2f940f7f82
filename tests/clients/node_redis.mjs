// node-redis: plain calls, transactions, pools, locks, pub/sub, client-side caching, a restart.
import assert from "node:assert/strict";
import { createClient, createClientPool, RESP_TYPES, WatchError } from "redis";
import { done, host, port, restart, until, version, versionOf, warm } from "./common.mjs";

const url = `redis://${host}:${port}`;

async function connect(options = {}) {
  const client = createClient({ url, ...options });
  // Errors reach the commands too; without a listener they would end the program.
  client.on("error", () => {});
  return client.connect();
}

async function strings(client) {
  await client.flushDb();
  assert.equal(await client.ping(), "PONG");
  assert.equal(await client.set("k", "v"), "OK");
  assert.equal(await client.get("k"), "v");
  assert.equal(await client.get("absent"), null);
  assert.equal(await client.set("k", "w", { condition: "NX" }), null);
  assert.equal(await client.set("k", "w", { GET: true, expiration: { type: "KEEPTTL" } }), "v");
  const binary = Buffer.from(Array.from({ length: 70_000 }, (_, i) => i % 256));
  await client.set("binary", binary);
  const bytes = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
  assert.deepEqual(await bytes.get("binary"), binary);

  assert.equal(await client.setEx("short", 100, "v"), "OK");
  const ttl = await client.ttl("short");
  assert.ok(ttl >= 98 && ttl <= 100, `ttl ${ttl}`);
  assert.equal(Number(await client.expire("k", 50)), 1);
  assert.equal(Number(await client.expire("k", 60, "NX")), 0);
  assert.equal(Number(await client.persist("k")), 1);
  assert.equal(await client.getEx("k", { type: "EX", value: 90 }), "w");
  assert.equal(await client.touch(["k", "short", "absent"]), 2);

  const wanted = Array.from({ length: 500 }, (_, i) => `scan:${i}`).sort();
  assert.equal(await client.mSet(wanted.map((key) => [key, key])), "OK");
  assert.deepEqual(await client.mGet(["scan:1", "absent", "scan:499"]), ["scan:1", null, "scan:499"]);
  const found = new Set();
  for await (const keys of client.scanIterator({ MATCH: "scan:*", COUNT: 50 })) {
    keys.forEach((key) => found.add(key));
  }
  assert.deepEqual([...found].sort(), wanted);
  assert.equal(await client.unlink(wanted), 500);

  assert.equal(await client.incr("n"), 1);
  assert.equal(await client.incrBy("n", 41), 42);
  assert.equal(Number(await client.incrByFloat("f", 1.5)), 1.5);
  // Calls of one turn go out together.
  const replies = await Promise.all(
    Array.from({ length: 1000 }, (_, i) => [client.set(`p:${i}`, String(i)), client.get(`p:${i}`)]).flat(),
  );
  replies.forEach((reply, i) => assert.equal(reply, i % 2 ? String((i - 1) / 2) : "OK"));
  await assert.rejects(client.incr("k"), { message: "ERR value is not an integer or out of range" });

  assert.equal(await client.del(["k", "n", "absent"]), 2);
  assert.equal(await client.exists(["k", "f"]), 1);
  assert.equal(await client.type("f"), "string");
  assert.equal(await client.getDel("f"), "1.5");
  assert.match(await client.info(), /^db0:keys=\d+/m);
}

async function transactions(client, pool) {
  await client.flushDb();
  assert.deepEqual(await client.multi().set("a", "1").incrBy("a", 41).get("a").exec(), ["OK", 42, "42"]);
  const failing = client.multi().set("t", "x").incr("t").set("u", "y");
  await assert.rejects(failing.exec(), ({ errorIndexes, replies }) => {
    assert.deepEqual(errorIndexes, [1]);
    return replies[1].message.startsWith("ERR value is not an integer") && replies[2] === "OK";
  });
  assert.equal(await client.get("u"), "y");

  await pool.execute(async (own) => {
    await own.watch("a");
    const seen = Number(await own.get("a"));
    await client.set("a", "7");
    await assert.rejects(own.multi().set("a", String(seen + 1)).exec(), WatchError);
    assert.equal(await own.get("a"), "7");
    await own.watch("a");
    assert.deepEqual(await own.multi().set("a", "8").exec(), ["OK"]);
  });
}

// The usual release is a script; this one compares by WATCH, on a connection of its own.
const release = (pool, name, token) =>
  pool.execute(async (own) => {
    await own.watch(name);
    if ((await own.get(name)) !== token) {
      await own.unwatch();
      return false;
    }
    return (await own.multi().del(name).exec())[0] === 1;
  });

async function locks(client, pool) {
  const acquire = (token, ms) =>
    client.set("lock", token, { condition: "NX", expiration: { type: "PX", value: ms } });
  assert.equal(await acquire("one", 10_000), "OK");
  assert.equal(await acquire("two", 10_000), null);
  assert.equal(await release(pool, "lock", "two"), false);
  assert.equal(await release(pool, "lock", "one"), true);
  assert.equal(await acquire("two", 40), "OK");
  await until("the lock expires", () => acquire("three", 10_000));
  assert.equal(await release(pool, "lock", "two"), false);
}

async function pubsub(client, subscriber) {
  const messages = [];
  await subscriber.subscribe(["news", "other"], (message, channel) => messages.push([channel, message]));
  await subscriber.pSubscribe("n*", (message, channel) => messages.push([`n* ${channel}`, message]));
  await subscriber.sSubscribe("shard", (message, channel) => messages.push([channel, message]));
  assert.equal(await client.publish("news", "first"), 2);
  assert.equal(await client.sPublish("shard", "second"), 1);
  await until("messages", () => messages.length === 3);
  assert.deepEqual(messages.sort(), [["n* news", "first"], ["news", "first"], ["shard", "second"]]);
  assert.equal(await client.publish("empty", "x"), 0);
  assert.deepEqual({ ...(await client.pubSubNumSub(["news", "empty"])) }, { news: 1, empty: 0 });
  await subscriber.unsubscribe("other");
  await subscriber.sUnsubscribe("shard");
  assert.deepEqual(await client.pubSubChannels(), ["news"]);
  return messages;
}

/** CLIENT TRACKING: what the library keeps is dropped when another client changes it. */
async function clientSideCache(client) {
  const { BasicClientSideCache } = await import("redis");
  const cache = new BasicClientSideCache({ ttl: 0, maxEntries: 100, evictPolicy: "LRU" });
  const cached = await connect({ RESP: 3, clientSideCache: cache });
  await client.set("cached", "one");
  assert.equal(await cached.get("cached"), "one");
  for (let i = 0; i < 10; i++) assert.equal(await cached.get("cached"), "one");
  assert.equal(cache.stats().hitCount, 10);
  await client.set("cached", "two");
  await until("the copy is dropped", async () => (await cached.get("cached")) === "two");
  cached.destroy();
}

async function restarted(client, messages) {
  await client.flushDb();
  await client.set("session", "kept", { expiration: { type: "EX", value: 100 } });
  await client.multi().set("t:1", "a").set("t:2", "b").exec();
  await restart();
  // A call that was under way when the connection broke fails; later ones wait for the new connection.
  const found = await until("the connection comes back", () =>
    client.mGet(["session", "t:1", "t:2"]).catch(() => null),
  );
  assert.deepEqual(found, ["kept", "a", "b"]);
  const ttl = await client.ttl("session");
  assert.ok(ttl > 60 && ttl <= 100, `ttl ${ttl}`);
  messages.length = 0;
  await until("the subscription comes back", async () => {
    await client.publish("news", "again");
    return messages.some(([channel]) => channel === "news");
  });
}

version(versionOf("redis"));
for (const RESP of [2, 3]) {
  const client = await connect({ RESP });
  const subscriber = await connect({ RESP });
  const pool = createClientPool({ url, RESP });
  pool.on("error", () => {});
  await pool.connect();
  await strings(client);
  await transactions(client, pool);
  await locks(client, pool);
  const messages = await pubsub(client, subscriber);
  if (RESP === 3) await clientSideCache(client);
  if (warm) await restarted(client, messages);
  await pool.close();
  await client.close();
  subscriber.destroy();
}
done();
