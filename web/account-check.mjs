// Resets a password as a person would: requests it by the API, opens the link in the mail, types, submits, signs in.
//   node account-check.mjs <base-url> <mail-folder> <out-dir>
import { mkdir, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const [base, mails, out] = process.argv.slice(2);
await mkdir(out, { recursive: true });
const api = async (query) => (await fetch(new URL('/graphql', base), { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ query }) })).json();
await api('mutation { requestPasswordReset(input: { email: "user@acme.test" }) { userErrors { code } } }');
let link;
for (let tries = 0; !link && tries < 100; tries++) {
  await new Promise((resolve) => setTimeout(resolve, 100));
  for (const file of (await readdir(mails).catch(() => [])).filter((it) => it.endsWith('.eml'))) {
    const text = (await readFile(join(mails, file), 'utf8')).replaceAll('=\r\n', '').replaceAll('=3D', '=');
    link = text.match(/http\S+#reset-password=tnl_[\w-]+/)?.[0] ?? link;
  }
}
const problems = [];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-gpu'] });
const page = await browser.newPage({ viewport: { width: 900, height: 640 } });
page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
page.on('pageerror', (error) => problems.push(String(error)));
await page.goto(link);
if (page.url().includes('tnl_')) problems.push('the token is still in the address bar');
await page.screenshot({ path: join(out, 'account-form.png') });
await page.fill('#password', 'password');
await page.click('button');
await page.waitForFunction(() => document.querySelector('[role=status]').textContent.includes('guess'));
await page.screenshot({ path: join(out, 'account-weak.png') });
await page.fill('#password', 'nine quiet lamps');
await page.click('button');
await page.waitForFunction(() => document.querySelector('[role=status]').textContent.includes('changed'));
await page.screenshot({ path: join(out, 'account-done.png') });
await page.goto(new URL('/account', base).href);
await page.screenshot({ path: join(out, 'account-no-token.png') });
await browser.close();
const login = await api('mutation { login(input: { email: "user@acme.test", password: "nine quiet lamps" }) { user { email } userErrors { code } } }');
if (login.data.login.user?.email !== 'user@acme.test') problems.push(JSON.stringify(login));
console.log(problems.length ? problems : 'ok');
process.exit(problems.length ? 1 : 0);
