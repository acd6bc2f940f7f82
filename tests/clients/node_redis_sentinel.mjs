// node-redis with Sentinels: it finds the master, and goes on at the replica that takes over.
import assert from "node:assert/strict";
import { createSentinel } from "redis";
import { done, host, killMaster, name, sentinels, until, version, versionOf } from "./common.mjs";

version(versionOf("redis"));
const client = createSentinel({
  name,
  sentinelRootNodes: sentinels.map((port) => ({ host, port })),
  scanInterval: 500,
});
client.on("error", () => {});
await client.connect();
assert.equal(await client.set("k", "v"), "OK");
assert.equal(await client.incr("n"), 1);
await until("the replica has it", async () => (await client.wait(1, 1000)) === 1, 30_000);
await killMaster();
const writes = () => client.set("k", "w").catch(() => "");
await until("another master takes writes", async () => (await writes()) === "OK", 30_000);
assert.equal(await client.incr("n"), 2);
client.destroy();
done();
