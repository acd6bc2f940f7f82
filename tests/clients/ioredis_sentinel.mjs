// ioredis with Sentinels: it finds the master, and goes on at the replica that takes over.
import assert from "node:assert/strict";
import Redis from "ioredis";
import { done, host, killMaster, name, port, sentinels, until, version, versionOf } from "./common.mjs";

version(versionOf("ioredis"));
const client = new Redis({
  sentinels: sentinels.map((port) => ({ host, port })),
  name,
  maxRetriesPerRequest: null,
});
client.on("error", () => {});
assert.equal(await client.set("k", "v"), "OK");
assert.equal(await client.incr("n"), 1);
assert.equal(client.stream.remotePort, port);
await until("the replica has it", async () => (await client.wait(1, 1000)) === 1, 30_000);
await killMaster();
await until("another master takes writes", async () => (await client.set("k", "w")) === "OK", 30_000);
assert.equal(await client.incr("n"), 2);
assert.notEqual(client.stream.remotePort, port);
client.disconnect();
done();
