// redlock: locks of one and of several names by Lua scripts.
import assert from "node:assert/strict";
import Redis from "ioredis";
import { createRequire } from "node:module";
import { done, host, port, restart, sleep, version, versionOf, warm } from "./common.mjs";

const { default: Redlock } = createRequire(import.meta.url)("redlock");

version(versionOf("redlock"));
const redis = new Redis({ host, port });
const redlock = new Redlock([redis], { retryCount: 0 });
const patient = new Redlock([redis], { retryCount: 50, retryDelay: 20 });

let lock = await redlock.acquire(["a", "b"], 2000);
await assert.rejects(redlock.acquire(["a"], 2000));
await assert.rejects(redlock.acquire(["c", "b"], 2000));
assert.equal(await redis.exists("c"), 0);
lock = await lock.extend(5000);
const left = await redis.pttl("a");
assert.ok(left > 4000 && left <= 5000, `${left} ms are left`);
if (warm) {
  await restart();
  await assert.rejects(redlock.acquire(["a"], 2000));
}
await lock.release();
assert.equal(await redis.exists("a", "b"), 0);
await assert.rejects(lock.release());

const short = await redlock.acquire(["short"], 100);
await sleep(150);
await (await redlock.acquire(["short"], 1000)).release();
await assert.rejects(short.extend(1000));

// Ten at once: one after the other.
let inside = 0;
let most = 0;
await Promise.all(Array.from({ length: 10 }, () =>
  patient.using(["one"], 2000, async () => {
    inside += 1;
    most = Math.max(most, inside);
    await sleep(5);
    inside -= 1;
  })));
assert.equal(most, 1);
redis.disconnect();
done();
