// Two checks with the npm package stripe. First, the forms that Tenantry sends match the parameters that Stripe
// documents: the package's types are generated from Stripe's own description of its API, so the compiler checks them.
// Second, webhooks that the package signs are verified like Stripe's own.
//
//   node stripe.mjs <address of a server with STRIPE_WEBHOOK_SECRET> <its secrets, separated by commas> <stripe_forms.txt>
import { execFileSync } from 'node:child_process'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import Stripe from 'stripe'

const [address, secrets, forms] = process.argv.slice(2)
const stripe = new Stripe('sk_test_x')
let failures = 0
const check = (what, good) => {
  if (!good) failures += 1
  console.log(`${good ? 'ok    ' : 'FAILED'} ${what}`)
}

// `a[b][0][c]=1` is `{ a: { b: [{ c: 1 }] } }`.
function object(form) {
  const root = {}
  for (const [name, text] of new URLSearchParams(form)) {
    const path = name.split(/[[\]]+/).filter(Boolean)
    const value = /^\d+$/.test(text) ? Number(text) : text === 'true' ? true : text
    let at = root
    path.forEach((key, depth) => {
      const isLast = depth + 1 === path.length
      at = at[key] ??= isLast ? value : /^\d+$/.test(path[depth + 1]) ? [] : {}
    })
  }
  return root
}

const types = { 'checkout.sessions': 'Stripe.Checkout.SessionCreateParams', paymentIntents: 'Stripe.PaymentIntentCreateParams' }
function compiles(lines) {
  const file = new URL('./stripe-forms.ts', import.meta.url).pathname
  const constants = lines.map(([type, value], nth) => `export const it${nth}: ${types[type]} = ${JSON.stringify(value)}`)
  writeFileSync(file, `import Stripe from 'stripe'\n${constants.join('\n')}\n`)
  try {
    const options = ['--noEmit', '--strict', '--skipLibCheck', '--target', 'es2022', '--module', 'nodenext', '--moduleResolution', 'nodenext']
    execFileSync('node', ['node_modules/typescript/bin/tsc', ...options, file], { cwd: new URL('.', import.meta.url).pathname })
    return true
  } catch (error) {
    compiles.told = String(error.stdout)
    return false
  } finally {
    rmSync(file, { force: true })
  }
}

const lines = readFileSync(forms, 'utf8').trim().split('\n').map((line) => {
  const [type, form] = line.split(' ')
  return [type, object(form)]
})
check(`${lines.length} forms match what Stripe documents`, lines.length >= 3 && compiles(lines))
if (compiles.told) console.log(compiles.told)
// The check can fail: for an unknown parameter, one of a wrong type, and one deep inside.
for (const wrong of [{ no_such: 1 }, { expires_at: 'soon' }, { line_items: [{ price_data: { currency: 'eur', cents: 1 } }] }]) {
  check(`${JSON.stringify(wrong)} would not`, !compiles([['checkout.sessions', { ...lines[0][1], ...wrong }]]))
}

async function deliver(payload, header) {
  const answer = await fetch(`${address}/webhooks/stripe`, { method: 'POST', headers: { 'stripe-signature': header }, body: payload })
  return answer.status
}
const payload = (id) =>
  JSON.stringify({ id, object: 'event', type: 'charge.refunded', created: Math.floor(Date.now() / 1000), data: { object: { id: 'ch_1', customer: 'cus_nobody' } } }, null, 2)
for (const [nth, secret] of secrets.split(',').entries()) {
  const body = payload(`evt_${nth}`)
  check(`signed by secret ${nth + 1}`, (await deliver(body, stripe.webhooks.generateTestHeaderString({ payload: body, secret }))) === 200)
  check('the same again', (await deliver(body, stripe.webhooks.generateTestHeaderString({ payload: body, secret }))) === 200)
}
const body = payload('evt_bad')
const secret = secrets.split(',')[0]
const age = (seconds) => ({ payload: body, secret, timestamp: Math.floor(Date.now() / 1000) - seconds })
check('295 s old', (await deliver(body, stripe.webhooks.generateTestHeaderString(age(295)))) === 200)
check('302 s old is refused', (await deliver(body, stripe.webhooks.generateTestHeaderString(age(302)))) === 400)
check('another secret is refused', (await deliver(body, stripe.webhooks.generateTestHeaderString({ payload: body, secret: 'whsec_other' }))) === 400)
check('another body is refused', (await deliver(JSON.stringify(JSON.parse(body)), stripe.webhooks.generateTestHeaderString({ payload: body, secret }))) === 400)
check('no signature is refused', (await deliver(body, '')) === 400)
console.log(failures ? `${failures} checks failed` : 'all checks passed')
process.exit(failures ? 1 : 0)
