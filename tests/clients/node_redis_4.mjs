// node-redis 4: its iterators over keys and collections. This version keeps a cursor as a floating-point number.
import assert from "node:assert/strict";
import { createClient } from "redis-4";
import { done, host, port, restart, until, version, versionOf, warm } from "./common.mjs";

const ELEMENTS = 5000;
// A walk that has met so many elements is taken for endless.
const MET_MAX = 2 * ELEMENTS;

const names = Array.from({ length: ELEMENTS }, (_, i) => `e:${i}`).sort();
const values = Object.fromEntries(names.map((name, i) => [name, String(i)]));

const client = createClient({ url: `redis://${host}:${port}` });
// Errors reach the commands too; without a listener they would end the program.
client.on("error", () => {});
await client.connect();

/** Each element is met exactly once; `pause` is awaited half-way. */
async function meets(what, iterator, nameOf, pause) {
  const met = [];
  for await (const element of iterator) {
    met.push(nameOf(element));
    assert.ok(met.length < MET_MAX, `${what} does not end`);
    if (met.length === ELEMENTS / 2) await pause?.();
  }
  assert.deepEqual(met.sort(), names, what);
}

/** Has the server killed and started again, and waits until the client has noticed. */
async function killed() {
  await restart();
  await until("the connection comes back", () => client.ping().catch(() => null));
}

function walks() {
  const options = { COUNT: 100 };
  return {
    SCAN: [() => client.scanIterator({ ...options, MATCH: "e:*", TYPE: "string" }), (key) => key],
    HSCAN: [
      () => client.hScanIterator("hash", options),
      ({ field, value }) => (assert.equal(value, values[field]), field),
    ],
    SSCAN: [() => client.sScanIterator("set", options), (member) => member],
    ZSCAN: [
      () => client.zScanIterator("zset", options),
      ({ score, value }) => (assert.equal(String(score), values[value]), value),
    ],
  };
}

version(versionOf("redis-4"));
await client.flushDb();
await client.mSet(values);
await client.hSet("hash", values);
await client.sAdd("set", names);
await client.zAdd("zset", names.map((value) => ({ value, score: Number(values[value]) })));
for (const pause of warm ? [undefined, killed] : [undefined]) {
  for (const [what, [iterator, nameOf]] of Object.entries(walks())) {
    await meets(what, iterator(), nameOf, pause);
  }
}
await client.quit();
done();
