// The npm package graphql-ws, as frontends use it, against a running server with the demo data.
//   node sockets.mjs http://127.0.0.1:8080
import assert from 'node:assert/strict';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

const base = process.argv[2];
const url = new URL('/graphql', base.replace(/^http/, 'ws')).href;
let passed = 0;

async function call(query, variables, token) {
  const headers = { 'content-type': 'application/json', ...(token ? { authorization: `Bearer ${token}` } : {}) };
  const response = await fetch(new URL('/graphql', base), { method: 'POST', headers, body: JSON.stringify({ query, variables }) });
  return response.json();
}

async function signIn(email) {
  const query = 'mutation($input: LoginInput!) { login(input: $input) { session { accessToken } userErrors { code } } }';
  const answer = await call(query, { input: { email, password: 'demo-demo-demo' } });
  return answer.data.login.session.accessToken;
}

/** A client with this token; `closed` is called with the code of each close. */
function connect(token, options = {}) {
  const closed = [];
  const client = createClient({
    url,
    webSocketImpl: WebSocket,
    connectionParams: () => ({ authorization: `Bearer ${typeof token === 'function' ? token() : token}` }),
    retryAttempts: 0,
    ...options,
    on: { closed: (event) => closed.push(event.code), ...options.on },
  });
  return { client, closed };
}

async function check(name, run) {
  await run();
  passed += 1;
  console.log(`ok ${name}`);
}

const within = (promise, what) =>
  Promise.race([promise, new Promise((_, fail) => setTimeout(() => fail(new Error(`timed out: ${what}`)), 20_000).unref())]);
const failure = async (iterator) => {
  try {
    for (;;) if ((await iterator.next()).done) return null;
  } catch (error) {
    return error;
  }
};
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

const user = await signIn('user@acme.test');
const BOOKINGS = 'subscription { bookingChanged { kind booking { id status service { name } } } }';

await check('a query has one result and an end', async () => {
  const { client } = connect(user);
  const results = [];
  for await (const result of client.iterate({ query: '{ viewer { name email } }' })) results.push(result);
  assert.equal(results.length, 1);
  assert.equal(results[0].data.viewer.email, 'user@acme.test');
  await client.dispose();
});

await check('a booking is announced when it is created and cancelled', async () => {
  const { client } = connect(user);
  const events = client.iterate({ query: BOOKINGS });
  const first = events.next();
  await pause(500);
  const services = await call('{ services { nodes { id name } } }', {}, user);
  const startsAt = new Date(Date.now() + (40 + Math.random() * 200) * 86_400_000).toISOString();
  const book = 'mutation($input: CreateBookingInput!) { createBooking(input: $input) { booking { id } userErrors { code } } }';
  const booked = await call(book, { input: { serviceId: services.data.services.nodes[0].id, startsAt } }, user);
  const id = booked.data.createBooking.booking.id;
  const created = (await within(first, 'the first event')).value.data.bookingChanged;
  assert.equal(created.kind, 'CREATED');
  assert.equal(created.booking.id, id);
  const cancel = 'mutation($input: CancelBookingInput!) { cancelBooking(input: $input) { userErrors { code } } }';
  await call(cancel, { input: { id } }, user);
  const updated = (await within(events.next(), 'the second event')).value.data.bookingChanged;
  assert.deepEqual([updated.kind, updated.booking.status], ['UPDATED', 'CANCELLED']);
  await events.return();
  await client.dispose();
});

await check('many subscriptions share a socket', async () => {
  const { client } = connect(user);
  const all = Array.from({ length: 20 }, () => client.iterate({ query: 'subscription { viewerChanged { email } }' }));
  const first = await within(Promise.all(all.map((it) => it.next())), 'twenty viewers');
  assert.ok(first.every((it) => it.value.data.viewerChanged.email === 'user@acme.test'));
  await Promise.all(all.map((it) => it.return()));
  await client.dispose();
});

await check('an invalid document is refused, and the socket stays open', async () => {
  const { client, closed } = connect(user, { lazy: false });
  const errors = await within(failure(client.iterate({ query: 'subscription { nonsense }' })), 'a refusal');
  assert.equal(errors[0].extensions.code, 'GRAPHQL_VALIDATION_FAILED');
  for await (const result of client.iterate({ query: '{ viewer { email } }' })) assert.ok(result.data.viewer);
  assert.deepEqual(closed, []);
  await client.dispose();
});

await check('a wrong token is refused', async () => {
  const { client, closed } = connect('nonsense');
  const error = await within(failure(client.iterate({ query: BOOKINGS })), 'a close');
  assert.equal(error.code, 4403);
  assert.deepEqual(closed, [4403]);
  await client.dispose();
});

await check('a session that ends ends its socket, and the client gives up', async () => {
  const token = await signIn('user@globex.test');
  const { client } = connect(token, { retryAttempts: 5 });
  const ended = failure(client.iterate({ query: BOOKINGS }));
  await pause(500);
  await call('mutation { logout { userErrors { code } } }', {}, token);
  const error = await within(ended, 'the end');
  assert.deepEqual([error.code, error.reason], [4401, 'Session ended']);
  await client.dispose();
});

await check('a client reconnects by itself with a new token', async () => {
  const tokens = ['nonsense', user];
  const { client, closed } = connect(() => tokens.shift() ?? user, { retryAttempts: 3, retryWait: () => pause(50), shouldRetry: () => true });
  const events = client.iterate({ query: 'subscription { viewerChanged { email } }' });
  assert.equal((await within(events.next(), 'the viewer')).value.data.viewerChanged.email, 'user@acme.test');
  assert.deepEqual(closed, [4403]);
  await events.return();
  await client.dispose();
});

console.log(`${passed} passed`);
process.exit(passed === 7 ? 0 : 1);
