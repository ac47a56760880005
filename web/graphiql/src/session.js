import { createClient } from 'graphql-ws';

// The caller's session: who is signed in, and the access token that every request carries. Kept in sessionStorage, so
// it ends with the tab. `../../pages/explorer.html` contains a shorter copy.

const ENDPOINT = '/graphql';
const KEY = 'tenantry.session';
/** A token that expires within this time, in milliseconds, is exchanged before it is used. */
const ABOUT_TO_EXPIRE_MS = 30_000;

const PAYLOAD = `
  session { accessToken accessTokenExpiresAt refreshToken }
  user { email name role tenant { name } }
  userErrors { code message field }`;
const LOGIN = `mutation Login($input: LoginInput!) { login(input: $input) {${PAYLOAD} } }`;
const REFRESH = `mutation RefreshSession($input: RefreshSessionInput!) { refreshSession(input: $input) {${PAYLOAD} } }`;
const LOGOUT = 'mutation Logout { logout { __typename } }';
const VIEWER = 'query Viewer { viewer { email name role tenant { name } } }';

const listeners = new Set();
let session = read();
let refreshing = null;

/** The current session, or `null` for an anonymous caller. */
export const current = () => session;

/** Calls `listener` after every change of the session; returns a function that unsubscribes. */
export function subscribe(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Signs in. `tenant` is a slug, or empty. */
export async function signIn(email, password, tenant) {
  const input = { email, password, ...(tenant ? { tenant } : {}) };
  write(fromPayload(await call(LOGIN, { input }, null), 'login'));
}

/** Uses an access token that was obtained elsewhere. It cannot be refreshed. */
export async function useToken(accessToken) {
  const { result } = await call(VIEWER, {}, accessToken);
  const viewer = result.data?.viewer;
  if (!viewer) throw new Error(message(result) ?? 'The API does not accept this token.');
  write({ accessToken, pasted: true, user: viewer });
}

/** Ends the session on the server, then forgets it. A pasted token is only forgotten. */
export async function signOut() {
  try {
    await refreshIfNeeded(); // with an expired token the server could not end the session
    if (!session || session.pasted) return;
    const { result } = await call(LOGOUT, {}, session.accessToken);
    const problem = message(result);
    if (problem) throw new Error(problem);
  } finally {
    write(null);
  }
}

/** GraphiQL's fetcher: one POST, with the token and the headers of the headers editor. */
export async function fetcher(params, options) {
  if (subscribes(params, options)) return socket.iterate(params);
  try {
    await refreshIfNeeded();
    const { result } = await post(params, session?.accessToken, options?.headers);
    return result;
  } catch (error) {
    // Not thrown: GraphiQL would print the stack as well.
    return { errors: [{ message: error.message }] };
  }
}

/** One socket for all subscriptions, opened with the first and closed after the last. */
const socket = createClient({
  url: new URL(ENDPOINT, location.href.replace(/^http/, 'ws')).href,
  connectionParams: async () => {
    await refreshIfNeeded();
    return session ? { authorization: `Bearer ${session.accessToken}` } : {};
  },
});

function subscribes({ operationName }, options) {
  const operations = options?.documentAST?.definitions.filter((it) => it.kind === 'OperationDefinition') ?? [];
  const chosen = operations.find((it) => it.name?.value === operationName) ?? operations[0];
  return chosen?.operation === 'subscription';
}

async function refreshIfNeeded() {
  if (!session?.refreshToken || Date.now() < session.expiresAt - ABOUT_TO_EXPIRE_MS) return;
  // Shared by concurrent requests: a refresh token can be used only once.
  refreshing ??= refresh(session.refreshToken).finally(() => { refreshing = null; });
  await refreshing;
}

async function refresh(refreshToken) {
  const answer = await call(REFRESH, { input: { refreshToken } }, null);
  if (session?.refreshToken !== refreshToken) return; // signed out in the meantime
  const refused = answer.result.data?.refreshSession?.session === null;
  // The request continues without a token, and the API answers accordingly.
  if (refused) write(null, 'Your session has ended. Sign in again.');
  else write(fromPayload(answer, 'refreshSession'));
}

function fromPayload({ result, now }, field) {
  const payload = result.data?.[field];
  if (!payload?.session) throw new Error(message(result) ?? 'The API answered without a session.');
  const { accessToken, accessTokenExpiresAt, refreshToken } = payload.session;
  // Measured by the server's clock; this machine's may be wrong.
  const lifetime = Date.parse(accessTokenExpiresAt) - now;
  return { accessToken, refreshToken, expiresAt: Date.now() + lifetime, user: payload.user };
}

const call = (query, variables, token) => post({ query, variables }, token);

async function post(body, token, extraHeaders = {}) {
  const headers = new Headers({
    'content-type': 'application/json',
    accept: 'application/graphql-response+json, application/json',
  });
  if (token) headers.set('authorization', `Bearer ${token}`);
  // Last, so that the headers editor overrides the others.
  for (const [name, value] of Object.entries(extraHeaders)) headers.set(name, value);

  let response;
  try {
    response = await fetch(ENDPOINT, { method: 'POST', headers, body: JSON.stringify(body) });
  } catch {
    throw new Error('The API cannot be reached.');
  }
  const text = await response.text();
  try {
    const now = Date.parse(response.headers.get('date') ?? '') || Date.now();
    return { result: JSON.parse(text), now };
  } catch {
    throw new Error(`The API answered ${response.status} ${response.statusText}`.trim() + ' without JSON.');
  }
}

/** The first error in the API's own words, or `undefined`. */
function message(result) {
  const payload = Object.values(result.data ?? {})[0];
  const first = payload?.userErrors?.[0] ?? result.errors?.[0];
  const code = first?.code ?? first?.extensions?.code;
  return first && (code ? `${first.message} (${code})` : first.message);
}

function read() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY));
  } catch {
    return null;
  }
}

function write(next, notice) {
  session = next;
  try {
    if (next) sessionStorage.setItem(KEY, JSON.stringify(next));
    else sessionStorage.removeItem(KEY);
  } catch {
    // Storage is off: the session then ends with the page.
  }
  for (const listener of listeners) listener(session, notice);
}
