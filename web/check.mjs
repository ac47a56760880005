// Opens the API explorer in headless Chromium and uses it as a person would: sign in, run the
// default query, read the answer. Fails on a wrong answer, on any console error (so also on a
// refused Content-Security-Policy directive), on any failed request, and on any request that
// leaves the server under test.
//
//   node check.mjs <base-url> <out-dir> [--path /graphiql] [--expect Acme] [--page graphiql]
//                  [--email ...] [--password ...] [--tenant ...] [--dark]
//
// CHROMIUM names the browser; without it, /usr/bin/chromium.
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { chromium } from 'playwright-core';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    path: { type: 'string', default: '/graphiql' },
    expect: { type: 'string', default: 'Acme' },
    page: { type: 'string' },
    email: { type: 'string', default: 'admin@acme.test' },
    password: { type: 'string', default: 'demo-demo-demo' },
    tenant: { type: 'string' },
    dark: { type: 'boolean', default: false },
  },
});
const [baseUrl, outDir] = positionals;
if (!baseUrl || !outDir) {
  console.error('usage: node check.mjs <base-url> <out-dir> [--path /graphiql] [--expect Acme] [--page graphiql|explorer]');
  process.exit(2);
}

/** Where each page keeps what the check needs. */
const PAGES = {
  graphiql: { ready: '.graphiql-query-editor .CodeMirror', run: '.graphiql-execute-button', response: '.graphiql-response' },
  explorer: { ready: '[data-part="query"]', run: '[data-part="run"]', response: '[data-part="response"]' },
};

const origin = new URL(baseUrl).origin;
const target = new URL(options.path, baseUrl).href;
const problems = [];
await mkdir(outDir, { recursive: true });
const profile = await mkdtemp(join(tmpdir(), 'tenantry-check-'));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  headless: true,
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
  ],
  viewport: { width: 1280, height: 800 },
  colorScheme: options.dark ? 'dark' : 'light',
});

try {
  await browser.route('**/*', (route) => {
    const url = route.request().url();
    if (new URL(url).origin === origin) return route.continue();
    problems.push(`request to another host: ${url}`);
    return route.abort();
  });
  const page = browser.pages()[0] ?? (await browser.newPage());
  page.setDefaultTimeout(20_000);
  page.on('console', (entry) => entry.type() === 'error' && problems.push(`console: ${entry.text()}`));
  page.on('pageerror', (error) => problems.push(`script: ${error.message}`));
  page.on('requestfailed', (request) => problems.push(`failed: ${request.url()} ${request.failure()?.errorText}`));
  page.on('response', (response) => response.status() >= 400 && problems.push(`${response.status()}: ${response.url()}`));
  const shot = (name) => page.screenshot({ path: join(outDir, `${kind}-${name}.png`) });

  await page.goto(target);
  const kind = await page.locator('html').getAttribute('data-page');
  if (!PAGES[kind]) throw new Error(`${target} is not an explorer page: data-page is ${kind}`);
  if (options.page && kind !== options.page) throw new Error(`expected the ${options.page} page, found ${kind}`);
  const { ready, run, response } = PAGES[kind];
  await page.locator(ready).waitFor();
  // The schema is read on load; wait until that has settled.
  await page.waitForLoadState('networkidle');
  await shot('1-before');

  const bar = page.locator('[data-bar]');
  await bar.getByLabel('Email').fill(options.email);
  await bar.getByLabel('Password').fill(options.password);
  if (options.tenant) await bar.getByLabel('Tenant').fill(options.tenant);
  await bar.getByRole('button', { name: 'Sign in', exact: true }).click();
  const problem = bar.getByRole('alert');
  await Promise.race([
    bar.and(page.locator('[data-signed-in="true"]')).waitFor(),
    problem.waitFor().then(async () => { throw new Error(`sign-in refused: ${await problem.textContent()}`); }),
  ]);
  await page.waitForLoadState('networkidle');
  await shot('2-signed-in');

  await page.locator(run).click();
  const answer = page.locator(response).filter({ hasText: options.expect });
  await answer.waitFor().catch(async () => {
    const text = await page.locator(response).innerText().catch(() => '(no response pane)');
    throw new Error(`the response does not show ${JSON.stringify(options.expect)}: ${text.slice(0, 400)}`);
  });
  await page.waitForLoadState('networkidle');
  await shot('3-after');

  // A subscription: the first event is about the caller.
  const watched = 'subscription Watch {\n  viewerChanged {\n    email\n    status\n  }\n}\n';
  await page.evaluate(([selector, text]) => {
    const editor = document.querySelector(selector);
    if (editor.CodeMirror) editor.CodeMirror.setValue(text);
    else { editor.value = text; editor.dispatchEvent(new Event('input', { bubbles: true })); }
  }, [ready, watched]);
  await page.waitForTimeout(1_000); // GraphiQL parses the typed text a moment later.
  await page.locator(run).click();
  await page.locator(response).filter({ hasText: 'ACTIVE' }).waitFor().catch(async () => {
    const text = await page.locator(response).innerText().catch(() => '(no response pane)');
    throw new Error(`the subscription shows nothing: ${text.slice(0, 400)}`);
  });
  await shot('4-subscribed');
  await page.locator(run).click();

  await bar.getByRole('button', { name: 'Sign out' }).click();
  await bar.and(page.locator('[data-signed-in="false"]')).waitFor();
  await page.waitForLoadState('networkidle');
  await shot('5-signed-out');
  if (!problems.length) console.log(`ok: ${kind} page at ${target} signed in, answered ${JSON.stringify(options.expect)}, subscribed, signed out`);
} catch (error) {
  problems.push(error.message);
} finally {
  await browser.close();
  await rm(profile, { recursive: true, force: true });
}

if (problems.length) {
  console.error(`FAILED: ${target}\n- ${problems.join('\n- ')}`);
  process.exit(1);
}
