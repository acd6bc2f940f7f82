// Bull 4: queues of jobs by Lua scripts; delayed, repeated, failing, stalled and rate-limited jobs.
import assert from "node:assert/strict";
import Queue from "bull";
import { done, host, port, restart, sleep, until, version, versionOf, warm } from "./common.mjs";

const open = (name, more = {}) =>
  new Queue(name, { redis: { host, port }, settings: { stalledInterval: 300, lockDuration: 600 }, ...more });

version(versionOf("bull"));
const queue = open("work");
await queue.addBulk([1, 2, 3].map((n) => ({ data: { n } })));
await queue.add({ n: 4 }, { priority: 1 });
const late = await queue.add({ n: 5 }, { delay: 400 });
await queue.add({ n: 6 }, { lifo: true });
const { waiting, active, delayed } = await queue.getJobCounts();
assert.deepEqual([waiting, active, delayed], [5, 0, 1]);
assert.equal((await queue.add({ n: 7 }, { jobId: "once" })).id, (await queue.add({ n: 8 }, { jobId: "once" })).id);
await queue.removeJobs("once");
if (warm) {
  await restart();
  await queue.isReady();
  assert.equal(await until("jobs after the restart", () => queue.count().catch(() => 0)), 6);
}
const order = [];
queue.process((job) => {
  order.push(job.data.n);
  return { twice: 2 * job.data.n };
});
assert.deepEqual(await late.finished(), { twice: 10 });
assert.equal(order.length, 6);
assert.equal(order.at(-1), 5);
assert.equal((await queue.getJobCounts()).completed, 6);

const failing = open("failing");
let attempts = 0;
failing.process(async () => {
  attempts += 1;
  if (attempts < 3) throw new Error("again");
  return "at last";
});
const tried = await failing.add({}, { attempts: 3, backoff: { type: "fixed", delay: 50 } });
assert.equal(await tried.finished(), "at last");
const lost = open("lost");
lost.process(() => Promise.reject(new Error("as it should")));
await assert.rejects((await lost.add({})).finished(), /as it should/);
assert.equal(await lost.getFailedCount(), 1);

const limited = open("limited", { limiter: { max: 2, duration: 400 } });
const times = [];
limited.process(() => times.push(Date.now()));
const began = Date.now();
await Promise.all((await limited.addBulk([{ data: 1 }, { data: 2 }, { data: 3 }, { data: 4 }])).map((job) => job.finished()));
assert.ok(times[2] - began >= 350, `the limit held for ${times[2] - began} ms`);

// A worker that dies while it holds a job: another one finds the job stalled.
const stalling = open("stalling");
await stalling.add({ n: 1 });
const job = await stalling.getNextJob();
await job.releaseLock();
const rescued = new Promise((resolve) => stalling.process((again) => resolve(again.data.n)));
assert.equal(await rescued, 1);

const repeated = open("repeated");
let runs = 0;
repeated.process(() => { runs += 1; });
await repeated.add({}, { repeat: { every: 200, limit: 3 } });
await until("the job is repeated", () => runs >= 3);

const paused = open("paused");
await paused.pause();
await paused.add({});
assert.equal(await paused.getPausedCount(), 1);
await paused.resume();
assert.equal(await paused.getWaitingCount(), 1);
await sleep(50);
assert.equal((await queue.clean(0, "completed")).length, 6);
await paused.obliterate({ force: true });
for (const each of [queue, failing, lost, limited, stalling, repeated, paused]) await each.close();
done();
