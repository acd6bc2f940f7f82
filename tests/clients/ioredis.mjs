// Checks ioredis against a running server: handshake.mjs PORT. The first wrong answer ends it.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import Redis from "ioredis";

const { version } = createRequire(import.meta.url)("ioredis/package.json");

async function exercise(client) {
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
  assert.equal(await client.persist("k"), 1);
  assert.equal(await client.ttl("k"), -1);
  assert.equal(await client.ttl("absent"), -2);

  const wanted = Array.from({ length: 500 }, (_, i) => `scan:${i}`).sort();
  assert.equal(await client.mset(new Map(wanted.map((key) => [key, key]))), "OK");
  assert.deepEqual(await client.mget("scan:1", "absent", "scan:499"), ["scan:1", null, "scan:499"]);
  const found = new Set();
  for await (const keys of client.scanStream({ match: "scan:*", count: 50 })) {
    keys.forEach((key) => found.add(key));
  }
  assert.deepEqual([...found].sort(), wanted);

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
  assert.match(await client.info(), /^db0:keys=\d+/m);
}

const options = { host: "127.0.0.1", port: Number(process.argv[2]), retryStrategy: null, lazyConnect: true };
for (const [title, more] of [
  ["default", {}],
  ["RESP2", { protocol: 2 }],
  ["RESP3", { protocol: 3 }],
]) {
  const client = new Redis({ ...options, ...more });
  // Errors reach the commands too; without a listener each is printed once more.
  client.on("error", () => {});
  await client.connect();
  await exercise(client);
  // Asked of the server, so that an option without effect does not pass for a handshake.
  const resp = /(?:^| )resp=(\d)/.exec(await client.client("INFO"))?.[1] ?? "not told";
  await client.quit();
  console.log(`ioredis ${version}, ${title} handshake: passed (resp ${resp})`);
}
