// ioredis: plain calls, pipelines, transactions, locks, pub/sub, a restart.
import assert from "node:assert/strict";
import Redis from "ioredis";
import { done, host, port, restart, until, version, versionOf, warm } from "./common.mjs";

async function strings(client) {
  await client.flushdb();
  assert.equal(await client.ping(), "PONG");
  assert.equal(await client.set("k", "v"), "OK");
  assert.equal(await client.get("k"), "v");
  assert.equal(await client.get("absent"), null);
  assert.equal(await client.set("k", "w", "NX"), null);
  const binary = Buffer.from(Array.from({ length: 70_000 }, (_, i) => i % 256));
  await client.set(Buffer.from("\0\r\n"), binary);
  assert.deepEqual(await client.getBuffer(Buffer.from("\0\r\n")), binary);

  assert.equal(await client.setex("short", 100, "v"), "OK");
  const ttl = await client.ttl("short");
  assert.ok(ttl >= 98 && ttl <= 100, `ttl ${ttl}`);
  assert.equal(await client.expire("k", 50), 1);
  assert.equal(await client.expire("k", 60, "NX"), 0);
  assert.equal(await client.persist("k"), 1);
  assert.equal(await client.ttl("k"), -1);
  assert.equal(await client.ttl("absent"), -2);
  assert.equal(await client.getex("k", "EX", 90), "v");
  assert.equal(await client.touch("k", "short", "absent"), 2);
  await client.set("soon", "v", "PX", 40);
  await until("expired", async () => (await client.exists("soon")) === 0);

  const wanted = Array.from({ length: 500 }, (_, i) => `scan:${i}`).sort();
  assert.equal(await client.mset(new Map(wanted.map((key) => [key, key]))), "OK");
  assert.deepEqual(await client.mget("scan:1", "absent", "scan:499"), ["scan:1", null, "scan:499"]);
  const found = new Set();
  for await (const keys of client.scanStream({ match: "scan:*", count: 50 })) {
    keys.forEach((key) => found.add(key));
  }
  assert.deepEqual([...found].sort(), wanted);
  assert.equal(await client.unlink(wanted), 500);

  assert.equal(await client.incr("n"), 1);
  assert.equal(await client.incrby("n", 41), 42);
  assert.equal(await client.incrbyfloat("f", 1.5), "1.5");
  const pipeline = client.pipeline();
  for (let i = 0; i < 1000; i++) {
    pipeline.set(`p:${i}`, i).get(`p:${i}`);
  }
  const replies = await pipeline.exec();
  assert.equal(replies.length, 2000);
  replies.forEach(([error, reply], i) => {
    assert.equal(error, null);
    assert.equal(reply, i % 2 ? String((i - 1) / 2) : "OK");
  });
  await assert.rejects(client.incr("k"), /^ReplyError: ERR value is not an integer or out of range$/);

  assert.equal(await client.del("k", "n", "absent"), 2);
  assert.equal(await client.exists("k", "f"), 1);
  assert.equal(await client.type("f"), "string");
  assert.equal(await client.getdel("f"), "1.5");
  assert.match(await client.info(), /^db0:keys=\d+/m);
}

async function transactions(client, other) {
  await client.flushdb();
  assert.deepEqual(await client.multi().set("a", 1).incrby("a", 41).get("a").exec(), [
    [null, "OK"],
    [null, 42],
    [null, "42"],
  ]);
  const [, [error], [, last]] = await client.multi().set("t", "x").incr("t").set("u", "y").exec();
  assert.match(error.message, /^ERR value is not an integer/);
  assert.equal(last, "OK");
  await assert.rejects(client.multi().set("never", "x").call("get").exec(), /^ReplyError: EXECABORT/);
  assert.equal(await client.exists("never"), 0);

  await client.watch("a");
  const seen = Number(await client.get("a"));
  await other.set("a", 7);
  assert.equal(await client.multi().set("a", seen + 1).exec(), null);
  assert.equal(await client.get("a"), "7");
  await client.watch("a");
  assert.deepEqual(await client.multi().set("a", 8).exec(), [[null, "OK"]]);
  await client.multi({ pipeline: false });
  assert.equal(await client.set("a", 9), "QUEUED");
  assert.equal(await client.discard(), "OK");
  assert.equal(await client.get("a"), "8");
}

// The usual release is a script; this one compares by WATCH.
async function release(client, name, token) {
  await client.watch(name);
  if ((await client.get(name)) !== token) {
    await client.unwatch();
    return false;
  }
  return (await client.multi().del(name).exec()) !== null;
}

async function locks(client) {
  assert.equal(await client.set("lock", "one", "PX", 10_000, "NX"), "OK");
  assert.equal(await client.set("lock", "two", "PX", 10_000, "NX"), null);
  assert.equal(await release(client, "lock", "two"), false);
  assert.equal(await release(client, "lock", "one"), true);
  assert.equal(await client.set("lock", "two", "PX", 40, "NX"), "OK");
  await until("the lock expires", () => client.set("lock", "three", "PX", 10_000, "NX"));
  assert.equal(await release(client, "lock", "two"), false);
}

/** The next event with this name: its arguments. */
const event = (emitter, name) => new Promise((resolve) => emitter.once(name, (...values) => resolve(values)));

async function pubsub(client, subscriber) {
  assert.equal(await subscriber.subscribe("news", "other"), 2);
  assert.equal(await subscriber.psubscribe("n*"), 3);
  const message = event(subscriber, "messageBuffer");
  const matched = event(subscriber, "pmessageBuffer");
  const sent = Buffer.from([0, 255, 13, 10]);
  assert.equal(await client.publish("news", sent), 2);
  assert.deepEqual(await message, [Buffer.from("news"), sent]);
  assert.deepEqual(await matched, ["n*", Buffer.from("news"), sent]);
  assert.equal(await client.publish("empty", "x"), 0);
  assert.deepEqual((await client.pubsub("NUMSUB", "news")).map(String), ["news", "1"]);
  assert.equal(await subscriber.unsubscribe("other"), 2);
}

async function scripts(client) {
  client.defineCommand("raise", {
    numberOfKeys: 1,
    lua: "local n = tonumber(redis.call('GET', KEYS[1]) or '0') + ARGV[1]; redis.call('SET', KEYS[1], n); return {n, ARGV[2]}",
  });
  await client.del("n");
  assert.deepEqual(await client.raise("n", 2, "a"), [2, "a"]);
  // It goes by EVALSHA; the library sends the text again where the server does not know it.
  await client.script("FLUSH");
  assert.deepEqual(await client.raise("n", 3, "b"), [5, "b"]);
  const replies = await client.multi().raise("n", 1, "c").get("n").exec();
  assert.deepEqual(replies, [[null, [6, "c"]], [null, "6"]]);
  await assert.rejects(client.eval("return redis.call('NOTHING')", 0), /Unknown Redis command/);
}

async function restarted(client, subscriber) {
  await client.flushdb();
  await client.set("session", "kept", "EX", 100);
  await client.multi().set("t:1", "a").set("t:2", "b").exec();
  await restart();
  // Sent while the connection may still be gone: the client waits for it.
  assert.deepEqual(await client.mget("session", "t:1", "t:2"), ["kept", "a", "b"]);
  const ttl = await client.ttl("session");
  assert.ok(ttl > 60 && ttl <= 100, `ttl ${ttl}`);
  const message = event(subscriber, "message");
  await until("the subscription comes back", async () => (await client.publish("news", "again")) >= 1);
  assert.deepEqual(await message, ["news", "again"]);
}

version(versionOf("ioredis"));
for (const more of [{}, { protocol: 2 }, { protocol: 3 }]) {
  const connect = async () => {
    const client = new Redis({ host, port, lazyConnect: true, ...more });
    // Errors reach the commands too; without a listener each is printed once more.
    client.on("error", () => {});
    await client.connect();
    return client;
  };
  const clients = [await connect(), await connect(), await connect()];
  const [client, other, subscriber] = clients;
  await strings(client);
  await transactions(client, other);
  await locks(client);
  await scripts(client);
  await pubsub(client, subscriber);
  if (more.protocol) {
    // Asked of the server, so that an option without effect does not pass for a handshake.
    const resp = /(?:^| )resp=(\d)/.exec(await client.client("INFO"))?.[1];
    // Redis 7.0 does not tell.
    if (resp !== undefined || warm) assert.equal(Number(resp), more.protocol);
  }
  if (warm) await restarted(client, subscriber);
  for (const open of clients) await open.quit();
}
done();
