// ioredis: streams, as arrays and as objects, groups of consumers, waiting on a connection of its own, a restart.
import assert from "node:assert/strict";
import Redis from "ioredis";
import { done, host, port, restart, until, version, versionOf, warm } from "./common.mjs";

async function entries(client) {
  await client.flushdb();
  for (let number = 1; number <= 10; number++) {
    assert.equal(await client.xadd("s", `${number}-0`, "number", number), `${number}-0`);
  }
  assert.match(await client.xadd("own", "*", "f", "v"), /^\d+-0$/);
  assert.equal(await client.xadd("absent", "NOMKSTREAM", "*", "f", "v"), null);
  assert.equal(await client.xadd("s", "MAXLEN", "=", 8, "11-*", "number", "11"), "11-0");
  assert.equal(await client.xlen("s"), 8);
  assert.deepEqual(await client.xrange("s", "-", "+", "COUNT", 1), [["4-0", ["number", "4"]]]);
  assert.deepEqual(await client.xrevrange("s", "+", "(10-0"), [["11-0", ["number", "11"]]]);
  assert.equal(await client.xdel("s", "4-0", "5-0", "99-0"), 2);
  assert.equal(await client.xtrim("s", "MINID", "8"), 2);
  assert.deepEqual(await client.xread("COUNT", 2, "STREAMS", "s", "absent", "9-0", "0"), [
    ["s", [["10-0", ["number", "10"]], ["11-0", ["number", "11"]]]],
  ]);
  assert.equal(await client.xread("STREAMS", "s", "$"), null);
  assert.equal(await client.xread("BLOCK", 20, "STREAMS", "s", "$"), null);
  await assert.rejects(client.xadd("s", "1-0", "f", "v"), /equal or smaller than the target stream top item/);
  const info = await client.xinfo("STREAM", "s");
  assert.equal(info[info.indexOf("length") + 1], 4);
  assert.equal(info[info.indexOf("last-generated-id") + 1], "11-0");
  const binary = Buffer.from([0, 255, 13, 10]);
  await client.xadd("binary", "1-1", binary, binary);
  assert.deepEqual((await client.xrangeBuffer("binary", "-", "+"))[0][1], [binary, binary]);
}

async function waiting(client) {
  const reader = client.duplicate();
  const read = reader.xread("BLOCK", 0, "STREAMS", "w", "$");
  await until("the reader waits", async () => /blocked_clients:1/.test(await client.info("clients")));
  await client.multi().xadd("w", "1-1", "f", "1").xadd("w", "1-2", "f", "2").exec();
  assert.deepEqual(await read, [["w", [["1-1", ["f", "1"]], ["1-2", ["f", "2"]]]]]);
  await reader.quit();
}

async function groups(client) {
  await client.flushdb();
  assert.equal(await client.xgroup("CREATE", "g", "workers", "$", "MKSTREAM"), "OK");
  await assert.rejects(client.xgroup("CREATE", "g", "workers", "$"), /^ReplyError: BUSYGROUP/);
  const pipeline = client.pipeline();
  for (let number = 1; number <= 100; number++) pipeline.xadd("g", `${number}-0`, "job", number);
  assert.equal((await pipeline.exec()).length, 100);
  const ids = (read) => read[0][1].map(([id]) => id);
  const first = ids(await client.xreadgroup("GROUP", "workers", "alice", "COUNT", 60, "STREAMS", "g", ">"));
  assert.deepEqual([first.length, first[0], first[59]], [60, "1-0", "60-0"]);
  assert.equal(await client.xack("g", "workers", ...first.slice(0, 50)), 50);
  assert.deepEqual(await client.xpending("g", "workers"), [10, "51-0", "60-0", [["alice", "10"]]]);
  const [entry] = await client.xpending("g", "workers", "-", "+", 1);
  assert.deepEqual([entry[0], entry[1], entry[3]], ["51-0", "alice", 1]);
  assert.deepEqual(await client.xclaim("g", "workers", "bob", 0, "51-0", "JUSTID"), ["51-0"]);
  assert.equal(await client.xdel("g", "52-0"), 1);
  const [next, claimed, deleted] = await client.xautoclaim("g", "workers", "bob", 0, "0", "COUNT", 3);
  assert.deepEqual([next, ids([["g", claimed]]), deleted], ["54-0", ["51-0", "53-0"], ["52-0"]]);
  assert.equal(await client.xgroup("DELCONSUMER", "g", "workers", "bob"), 2);
  assert.equal((await client.xinfo("GROUPS", "g")).length, 1);
  if (!warm) return;
  await restart();
  await until("it serves again", async () => (await client.ping()) === "PONG");
  assert.equal(await client.xlen("g"), 99);
  assert.equal((await client.xpending("g", "workers"))[0], 7);
  const rest = ids(await client.xreadgroup("GROUP", "workers", "carol", "COUNT", 100, "STREAMS", "g", ">"));
  assert.deepEqual([rest.length, rest[0]], [40, "61-0"]);
}

version(versionOf("ioredis"));
const client = new Redis(port, host);
client.on("error", () => {});
await entries(client);
await waiting(client);
await groups(client);
await client.quit();
done();
