// rate-limiter-flexible: its counters by a Lua script, over ioredis and over node-redis.
import assert from "node:assert/strict";
import Redis from "ioredis";
import { createRequire } from "node:module";
import { createClient } from "redis";
import { done, host, port, restart, sleep, until, version, versionOf, warm } from "./common.mjs";

const { RateLimiterRedis, BurstyRateLimiter } = createRequire(import.meta.url)("rate-limiter-flexible");

version(versionOf("rate-limiter-flexible"));
const ioredis = new Redis({ host, port });
const nodeRedis = createClient({ url: `redis://${host}:${port}` });
nodeRedis.on("error", () => {});
await nodeRedis.connect();

for (const [name, options] of [["io", { storeClient: ioredis }], ["node", { storeClient: nodeRedis, useRedisPackage: true }]]) {
  const make = (more) => new RateLimiterRedis({ ...options, keyPrefix: name, points: 5, duration: 60, ...more });
  const limiter = make({});
  const results = await Promise.allSettled(Array.from({ length: 8 }, () => limiter.consume("user")));
  assert.equal(results.filter(({ status }) => status === "fulfilled").length, 5);
  const refused = await limiter.consume("user").catch((reason) => reason);
  assert.equal(refused.remainingPoints, 0);
  assert.ok(refused.msBeforeNext > 55_000 && refused.msBeforeNext <= 60_000, `${refused.msBeforeNext} ms`);
  assert.equal((await limiter.get("user")).consumedPoints, 9);
  await limiter.penalty("user", 2);
  await limiter.reward("user", 1);
  assert.equal((await limiter.get("user")).consumedPoints, 10);
  await limiter.delete("user");
  assert.equal(await limiter.get("user"), null);
  const blocking = make({ keyPrefix: `${name}-block`, points: 1, blockDuration: 30 });
  await blocking.consume("user");
  const blocked = await blocking.consume("user").catch((reason) => reason);
  assert.ok(blocked.msBeforeNext > 25_000 && blocked.msBeforeNext <= 30_000, `${blocked.msBeforeNext} ms`);
  const short = make({ keyPrefix: `${name}-short`, points: 2, duration: 1 });
  const bursty = new BurstyRateLimiter(short, make({ keyPrefix: `${name}-burst`, points: 1, duration: 5 }));
  for (let n = 0; n < 3; n++) await bursty.consume("user");
  await assert.rejects(bursty.consume("user"));
  await sleep(1100);
  await short.consume("user");
  await limiter.consume("kept", 3);
}
if (warm) {
  await restart();
  const limiter = new RateLimiterRedis({ storeClient: ioredis, keyPrefix: "io", points: 5, duration: 60 });
  const kept = await until("after the restart", () => limiter.get("kept").catch(() => null));
  assert.equal(kept.consumedPoints, 3);
  // The script is gone from the server's cache.
  assert.equal((await limiter.consume("kept")).consumedPoints, 4);
}
ioredis.disconnect();
nodeRedis.destroy();
done();
