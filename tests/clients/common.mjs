// What the Node clients share: where the server is, how it is restarted, how an answer is awaited.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

export const host = "127.0.0.1";
export const port = Number(process.env.SERVER_PORT);
// Whether the server keeps its data when it is killed.
export const warm = process.env.SERVER_WARM === "1";

// The ports of the Sentinels that watch the server, for clients of theirs, and the name that they know it by.
export const sentinels = (process.env.SENTINEL_PORTS ?? "").split(",").filter(Boolean).map(Number);
export const name = "mymaster";

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** The version of an installed package. */
export function versionOf(name) {
  return createRequire(import.meta.url)(`./node_modules/${name}/package.json`).version;
}

/** Names the client's version in the list of results. */
export function version(text) {
  process.stdout.write(`version ${text}\n`);
}

/** Has the server killed by signal 9 and started again on the same port and data; returns when it serves. */
export async function restart() {
  process.stdout.write("restart\n");
  const { value } = await answers.next();
  if (value !== "restarted") throw new Error("the server was not restarted");
}

/** Has the server killed by signal 9 for good, so that the Sentinels replace it. */
export async function killMaster() {
  process.stdout.write("kill\n");
  const { value } = await answers.next();
  if (value !== "killed") throw new Error("the server was not killed");
}

/** Lets the program end: an open standard input would keep it. */
export function done() {
  process.stdin.destroy();
}

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until `condition` gives something true, and returns that. */
export async function until(what, condition, ms = 10_000) {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(20)) {
    const found = await condition();
    if (found) return found;
  }
  throw new Error(`${what}: not within ${ms} ms`);
}
