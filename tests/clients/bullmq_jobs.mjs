// bullmq: workers, retries, delayed and repeated jobs, flows, events, and a kill of the server while workers run.
import assert from "node:assert/strict";
import { FlowProducer, Queue, QueueEvents, UnrecoverableError, Worker } from "bullmq";
import { done, host, port, restart, sleep, until, version, versionOf, warm } from "./common.mjs";

const connection = { host, port };
// How long a worker may be silent before its jobs count as stalled, ms.
const LOCK_MS = 1_000;

const opened = [];

/** Opens something that must be closed at the end. */
function open(Kind, ...args) {
  const one = new Kind(...args);
  // While the server is away, every connection says so.
  one.on("error", () => {});
  one.setMaxListeners(0);
  opened.push(one);
  return one;
}

const queue = (name) => open(Queue, name, { connection });

function worker(name, processor, options = {}) {
  return open(Worker, name, processor, {
    connection,
    lockDuration: LOCK_MS,
    stalledInterval: LOCK_MS,
    maxStalledCount: 10,
    ...options,
  });
}

async function plainJobs() {
  const jobs = queue("plain");
  const events = open(QueueEvents, "plain", { connection });
  await events.waitUntilReady();
  const ids = await jobs.addBulk(
    Array.from({ length: 20 }, (_, number) => ({ name: "double", data: { number } })),
  );
  await jobs.add("urgent", { number: 100 }, { priority: 1 });
  assert.deepEqual(await jobs.getJobCounts("wait", "prioritized"), { wait: 20, prioritized: 1 });
  const order = [];
  worker("plain", async (job) => {
    order.push(job.data.number);
    await job.updateProgress(50);
    await job.log(`number ${job.data.number}`);
    return job.data.number * 2;
  });
  const results = await Promise.all(ids.map((job) => job.waitUntilFinished(events, 10_000)));
  assert.deepEqual(results, ids.map((_, number) => number * 2));
  // A job has begun before it counts as completed.
  await until("the job with a priority", async () => (await jobs.getCompletedCount()) === 21);
  assert.deepEqual(order.filter((number) => number < 100), ids.map((_, number) => number));
  const { logs } = await jobs.getJobLogs(ids[3].id);
  assert.deepEqual(logs, ["number 3"]);
  await jobs.clean(0, 5, "completed");
  assert.equal(await jobs.getCompletedCount(), 16);
  await jobs.trimEvents(10);
  // Ids of its own: a second job with the same one is not added.
  await jobs.pause();
  await jobs.add("same", {}, { jobId: "only" });
  await jobs.add("same", {}, { jobId: "only" });
  const { wait, paused } = await jobs.getJobCounts("wait", "paused");
  assert.equal(wait + paused, 1);
  await jobs.resume();
  await until("it ran", async () => (await jobs.getJobState("only")) === "completed");
}

async function retries() {
  const jobs = queue("retries");
  const events = open(QueueEvents, "retries", { connection });
  await events.waitUntilReady();
  const tries = {};
  worker("retries", async (job) => {
    tries[job.name] = (tries[job.name] ?? 0) + 1;
    if (job.name === "hopeless") throw new UnrecoverableError("it is hopeless");
    if (job.name === "never" || tries[job.name] < 3) throw new Error(`try ${tries[job.name]}`);
    return "at last";
  });
  const options = { attempts: 4, backoff: { type: "exponential", delay: 30 } };
  const third = await jobs.add("third", {}, options);
  const never = await jobs.add("never", {}, options);
  const hopeless = await jobs.add("hopeless", {}, options);
  assert.equal(await third.waitUntilFinished(events, 10_000), "at last");
  await assert.rejects(never.waitUntilFinished(events, 10_000), /try 4/);
  await assert.rejects(hopeless.waitUntilFinished(events, 10_000), /hopeless/);
  assert.deepEqual(tries, { third: 3, never: 4, hopeless: 1 });
  assert.equal(await jobs.getFailedCount(), 2);
  const failed = await jobs.getJob(never.id);
  assert.equal(failed.attemptsMade, 4);
  await failed.retry("failed");
  await until("it failed again", async () => tries.never === 5);
}

async function laterJobs() {
  const jobs = queue("later");
  const ran = [];
  worker("later", async (job) => ran.push([job.name, Date.now()]));
  const added = Date.now();
  await jobs.add("second", {}, { delay: 1200 });
  await jobs.add("first", {}, { delay: 150 });
  const never = await jobs.add("never", {}, { delay: 60_000 });
  await until("delayed jobs", async () => ran.length === 2);
  assert.deepEqual(ran.map(([name]) => name), ["first", "second"]);
  assert.ok(ran[0][1] - added >= 150 && ran[1][1] - added >= 1200, "not before their time");
  await never.promote();
  await until("the promoted job", async () => ran.length === 3);

  await jobs.upsertJobScheduler("ticks", { every: 100 }, { name: "tick", data: {} });
  const ticks = () => ran.filter(([name]) => name === "tick").length;
  await until("repeated jobs", async () => ticks() >= 4);
  assert.equal((await jobs.getJobSchedulers()).length, 1);
  assert.equal(await jobs.removeJobScheduler("ticks"), true);
  await sleep(150);
  const before = ticks();
  await sleep(300);
  assert.equal(ticks(), before, "no tick after the end");
}

async function flows() {
  const producer = open(FlowProducer, { connection });
  const order = [];
  worker("leaves", async (job) => {
    order.push(job.name);
    return job.data.weight;
  });
  worker("roots", async (job) => {
    order.push(job.name);
    const values = Object.values(await job.getChildrenValues());
    return values.reduce((sum, weight) => sum + weight, 0);
  });
  const events = open(QueueEvents, "roots", { connection });
  await events.waitUntilReady();
  const leaves = [1, 2, 3].map((weight) => ({
    name: `leaf-${weight}`,
    queueName: "leaves",
    data: { weight },
  }));
  const middle = { name: "middle", queueName: "roots", children: leaves };
  const other = { name: "leaf-10", queueName: "leaves", data: { weight: 10 } };
  const tree = await producer.add({ name: "root", queueName: "roots", children: [middle, other] });
  assert.equal(await tree.job.waitUntilFinished(events, 10_000), 16);
  assert.equal(order.at(-1), "root");
  assert.ok(order.indexOf("middle") > Math.max(...leaves.map(({ name }) => order.indexOf(name))));
}

/** Every job that was added runs to its end, although the server dies while workers run. */
async function killed() {
  const jobs = queue("killed");
  const ran = new Map();
  for (let number = 0; number < 2; number++) {
    worker(
      "killed",
      async (job) => {
        await sleep(5);
        ran.set(job.id, (ran.get(job.id) ?? 0) + 1);
      },
      { concurrency: 5 },
    );
  }
  const ids = [];
  for (let number = 0; number < 300; number++) {
    ids.push((await jobs.add("work", { number }, number % 10 ? {} : { delay: 300 })).id);
  }
  await until("some are done", async () => ran.size > 50);
  const active = await jobs.getActiveCount();
  if (warm) await restart();
  assert.equal(new Set(ids).size, ids.length);
  await until("all are done", async () => (await jobs.getCompletedCount()) === ids.length, 30_000);
  const counts = await jobs.getJobCounts("wait", "active", "delayed", "failed", "completed");
  assert.deepEqual(counts, { wait: 0, active: 0, delayed: 0, failed: 0, completed: ids.length });
  for (const id of ids) assert.ok(ran.get(id) >= 1, `job ${id} never ran`);
  // A job ran again only if the server died while it was active.
  const again = [...ran.values()].filter((times) => times > 1).length;
  assert.ok(warm || again === 0, `${again} jobs ran again`);
  assert.ok(again <= active + 20, `${again} jobs ran again, ${active} were active`);
}

async function main() {
  version(versionOf("bullmq"));
  await plainJobs();
  await retries();
  await laterJobs();
  await flows();
  await killed();
  await Promise.all(opened.map((one) => one.close()));
  done();
}

await main();
