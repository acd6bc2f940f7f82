// connect-redis: sessions of an express application, asked for by HTTP.
import assert from "node:assert/strict";
import { once } from "node:events";
import { RedisStore } from "connect-redis";
import express from "express";
import session from "express-session";
import { createClient } from "redis";
import { done, host, port, restart, sleep, until, version, versionOf, warm } from "./common.mjs";

const client = createClient({ url: `redis://${host}:${port}` });
client.on("error", () => {});
await client.connect();
await client.flushDb();
const store = new RedisStore({ client, prefix: "app:", ttl: 600 });

const app = express();
app.use(session({ store, secret: "s", resave: false, saveUninitialized: false }));
app.get("/count", (request, response) => {
  request.session.count = (request.session.count ?? 0) + 1;
  response.json({ count: request.session.count });
});
app.get("/short", (request, response) => {
  request.session.short = true;
  request.session.cookie.maxAge = 1000;
  response.json({});
});
app.get("/look", (request, response) => response.json({ count: request.session.count ?? null }));
app.get("/logout", (request, response) => request.session.destroy(() => response.json({})));
const server = app.listen(0, host);
await once(server, "listening");
const origin = `http://${host}:${server.address().port}`;

/** A browser: it keeps its cookie. */
class Browser {
  async get(path) {
    const headers = this.cookie ? { cookie: this.cookie } : {};
    const response = await fetch(origin + path, { headers });
    assert.equal(response.status, 200, await response.clone().text());
    const given = response.headers.getSetCookie()[0];
    if (given) this.cookie = given.split(";")[0];
    return response.json();
  }
}

version(versionOf("connect-redis"));
const anna = new Browser();
const bert = new Browser();
assert.deepEqual(await anna.get("/look"), { count: null });
assert.equal(await client.dbSize(), 0);
for (let count = 1; count <= 3; count++) assert.deepEqual(await anna.get("/count"), { count });
assert.deepEqual(await bert.get("/count"), { count: 1 });
assert.equal(await store.length(), 2);
assert.equal((await store.all()).length, 2);

const [id] = (await store.all()).filter(({ count }) => count === 3).map((one) => one.id);
await client.expire(`app:${id}`, 50);
assert.deepEqual(await anna.get("/look"), { count: 3 });
// A request renews the session that it belongs to.
const renewed = await until("renewed", async () => (await client.ttl(`app:${id}`)) > 590 && client.ttl(`app:${id}`));
assert.ok(renewed <= 600, `ttl ${renewed}`);

const visitor = new Browser();
await visitor.get("/short");
assert.equal(await store.length(), 3);
await sleep(1100);
assert.deepEqual(await visitor.get("/look"), { count: null });
assert.equal(await store.length(), 2);

await bert.get("/logout");
assert.deepEqual(await bert.get("/look"), { count: null });
assert.equal(await store.length(), 1);

if (warm) {
  await restart();
  await until("the connection comes back", () => client.ping().catch(() => null));
  assert.deepEqual(await anna.get("/count"), { count: 4 });
  assert.deepEqual(await store.ids(), [id]);
}
for (let i = 0; i < 150; i++) await new Browser().get("/count");
assert.equal(await store.length(), 151);
await store.clear();
assert.equal(await client.dbSize(), 0);

server.close();
server.closeAllConnections();
await client.close();
done();
