// The bar above GraphiQL. Plain DOM: the markup is in index.html.
import * as session from './session.js';

const bar = document.querySelector('[data-bar]');
const part = (name) => bar.querySelector(`[data-part="${name}"]`);
const [login, token, who, toggle, problem] = ['login', 'token', 'who', 'toggle', 'problem'].map(part);
let tokenMode = false;

export function startBar() {
  login.addEventListener('submit', (event) => {
    event.preventDefault();
    const { email, password, tenant } = login.elements;
    attempt(login, async () => {
      await session.signIn(email.value.trim(), password.value, tenant.value.trim());
      password.value = '';
    }, focusEditor);
  });
  token.addEventListener('submit', (event) => {
    event.preventDefault();
    const field = token.elements.token;
    attempt(token, async () => {
      // Often pasted from a header.
      await session.useToken(field.value.trim().replace(/^(authorization:\s*)?bearer\s+/i, ''));
      field.value = '';
    }, focusEditor);
  });
  part('sign-out').addEventListener('click', () => {
    tokenMode = false;
    attempt(who, session.signOut, () => login.elements.email.focus());
  });
  toggle.addEventListener('click', () => {
    tokenMode = !tokenMode;
    show('');
    render();
    (tokenMode ? token.elements.token : login.elements.email).focus();
  });
  session.subscribe((_session, notice) => {
    show(notice ?? '');
    render();
  });
  render();
}

async function attempt(group, action, then) {
  show('');
  group.setAttribute('aria-busy', 'true');
  const buttons = group.querySelectorAll('button');
  for (const button of buttons) button.disabled = true;
  try {
    await action();
  } catch (error) {
    show(error.message);
  } finally {
    group.removeAttribute('aria-busy');
    for (const button of buttons) button.disabled = false;
    then?.();
  }
}

/** Without this, the focus would be lost with the form. */
function focusEditor() {
  if (session.current()) document.querySelector('.graphiql-query-editor .CodeMirror')?.CodeMirror.focus();
}

function show(text) {
  problem.textContent = text;
  problem.hidden = !text;
}

function render() {
  const now = session.current();
  bar.dataset.signedIn = String(Boolean(now));
  login.hidden = Boolean(now) || tokenMode;
  token.hidden = Boolean(now) || !tokenMode;
  toggle.hidden = Boolean(now);
  toggle.textContent = tokenMode ? 'Sign in instead' : 'Use a token';
  who.hidden = !now;
  if (!now) return;
  const { name, email, role, tenant } = now.user ?? {};
  part('who-text').textContent = [name || email, role, tenant?.name].filter(Boolean).join(' · ');
  part('who-text').title = now.pasted ? 'Signed in with a pasted token, which is not refreshed' : email ?? '';
  part('sign-out').textContent = now.pasted ? 'Forget token' : 'Sign out';
}
