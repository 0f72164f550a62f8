// Who is signed in, and what happens when nobody is any more.

import assert from 'node:assert/strict';

import { lab } from '../lab/lab.js';
import { until } from '../lab/wait.js';
import { forgetSessions } from '../page/browser.js';
import { holds } from '../page/case.js';
import { hasEveryView } from '../page/views.js';

const heading = (page, name) => page.getByRole('heading', { level: 1, name, exact: true });

async function signIn(page, key) {
  await page.getByLabel('Key', { exact: true }).fill(key);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

holds('somebody without a session is asked for a key, and comes back to where they wanted to', async ({ open }) => {
  const page = await open('/runs?dry=false', { as: null });
  await heading(page, 'Sign in to checkout').waitFor();
  assert.equal(new URL(page.url()).searchParams.get('return'), '/runs?dry=false');
  await page.getByText('Whoever runs this console gives keys').waitFor();
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('Paste or type your key.').waitFor();
  await signIn(page, 'not a key of anybody');
  await page.getByRole('alert').filter({ hasText: 'The key is unknown' }).waitFor();
  await page.getByRole('checkbox', { name: 'Show the key' }).check();
  assert.equal(await page.getByLabel('Key', { exact: true }).getAttribute('type'), 'text');
  // As it is pasted: with a space and the end of a line.
  await signIn(page, ` ${lab.keys.ann}\t`);
  await heading(page, 'Runs').waitFor();
  assert.ok(page.url().endsWith('/runs?dry=false'), page.url());
  await page.getByText('ann', { exact: true }).first().waitFor();
  const cookies = await page.context().cookies();
  const session = cookies.find(({ name }) => name === 'checkout-session');
  assert.deepEqual(
    { httpOnly: session.httpOnly, sameSite: session.sameSite, path: session.path },
    { httpOnly: true, sameSite: 'Strict', path: '/' },
  );
  assert.equal(await page.evaluate(() => document.cookie), '', 'scripts see no cookie');
  const stored = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]));
  assert.equal(stored, '[{},{}]', 'the page keeps nothing');
});

holds('the login leads back to the part of a view that an address names', async ({ open }) => {
  const leadsToThePart = async (page) => {
    await heading(page, 'Sign in to checkout').waitFor();
    assert.equal(new URL(page.url()).searchParams.get('return'), '/dead-letters#sink');
    await signIn(page, lab.keys.ann);
    await heading(page, 'Dead letters').waitFor();
    assert.ok(page.url().endsWith('/dead-letters#sink'), page.url());
    await page.waitForFunction(() => document.activeElement.id === 'sink');
  };
  const page = await open('/dead-letters#sink', { as: null });
  await leadsToThePart(page);
  // The session ends while the page is open; the next question finds out.
  await page.context().clearCookies();
  await page.getByRole('button', { name: 'Read again' }).click();
  await leadsToThePart(page);
});

holds('whoever signs out sees nothing any more, not even by going back', async ({ open }) => {
  const page = await open('/login', { as: null });
  await signIn(page, lab.keys.otto);
  await heading(page, 'Flow').waitFor();
  await page.getByRole('link', { name: 'Runs', exact: true }).click();
  await heading(page, 'Runs').waitFor();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await heading(page, 'Sign in to checkout').waitFor();
  await page.goBack();
  await heading(page, 'Sign in to checkout').waitFor();
  const status = await page.evaluate(async () => (await fetch('/api/flow')).status);
  assert.equal(status, 401);
});

holds('when the console is started again, an open page asks for the key and goes on where it was', async ({ open }) => {
  const page = await open('/flow?node=sink');
  const open_ = page.getByRole('region', { name: 'The open node' });
  await open_.waitFor();
  await lab.console.restart();
  forgetSessions();
  await heading(page, 'Sign in to checkout').waitFor();
  await signIn(page, lab.keys.ann);
  await heading(page, 'Flow').waitFor();
  await open_.waitFor();
  await page.getByText('Live', { exact: true }).first().waitFor();
});

holds('a page says that the console is away, in every view, and that it is back', async ({ open }) => {
  const fresh = await lab.newConsole('passing-console', { CONSOLE_WITHOUT_KEYS: 'operator' });
  await fresh.start();
  try {
    const page = await open('/runs', { as: null, at: fresh.url });
    const nothing = page.getByRole('heading', { name: 'Nothing was run yet' });
    await nothing.waitFor();
    const goTo = (name) => page.getByRole('link', { name, exact: true }).click();
    await page.getByText('Live', { exact: true }).first().waitFor();
    await hasEveryView(page);
    await fresh.stop();
    await page.getByText('Reconnecting', { exact: true }).first().waitFor();
    const said = page.getByRole('status').filter({ hasText: 'The connection to the console is lost' });
    await said.waitFor({ state: 'attached' });
    const problem = page.getByRole('alert').filter({ hasText: 'The console does not answer' });
    await goTo('Runs');
    await problem.waitFor();
    // Views that were not looked at before.
    await goTo('Flow');
    await problem.waitFor();
    await page.getByRole('heading', { name: 'The last 15 minutes' }).waitFor();
    await goTo('Replay');
    await page.getByRole('button', { name: 'Preview', exact: true }).click();
    await problem.waitFor();
    await fresh.start();
    await page.getByText('Live', { exact: true }).first().waitFor();
    await goTo('Runs');
    await nothing.waitFor();
  } finally {
    await fresh.stop();
  }
});

holds('a page says that the console hangs, and goes on when it does', async ({ open, note }) => {
  const fresh = await lab.newConsole('hanging-console', { CONSOLE_WITHOUT_KEYS: 'viewer' });
  await fresh.start();
  try {
    const page = await open('/flow', { as: null, at: fresh.url });
    const live = page.getByText('Live', { exact: true }).first();
    await live.waitFor();
    await page.getByText(/^As of /).waitFor();
    await hasEveryView(page);
    await page.evaluate(rememberAnnouncements);
    // No connection is closed, and none is refused: the page hears nothing.
    fresh.pause();
    const began = Date.now();
    await page.getByText('Reconnecting', { exact: true }).first().waitFor({ timeout: 13_000 });
    note(`the page said so after ${Date.now() - began} ms`);
    await page.getByText(/^Last seen /).waitFor();
    fresh.resume();
    await live.waitFor();
    await page.getByText(/^As of /).waitFor();
    const announced = (await page.evaluate(() => window.announced)).join('\n');
    assert.match(announced, /The connection to the console is lost[^]*The connection to the console is restored/);
  } finally {
    fresh.resume();
    await fresh.stop();
  }
});

holds('a key that is taken out of the file ends its sessions and opens none', async ({ open }) => {
  const page = await open('/flow', { as: 'otto' });
  await page.getByText('Live', { exact: true }).first().waitFor();
  lab.writeKeys({ without: 'otto' });
  try {
    await heading(page, 'Sign in to checkout').waitFor();
    await signIn(page, lab.keys.otto);
    await page.getByRole('alert').filter({ hasText: 'The key is unknown' }).waitFor();
  } finally {
    lab.writeKeys();
    forgetSessions();
  }
  await until('the key to work again', async () => {
    await signIn(page, lab.keys.otto);
    await heading(page, 'Flow').waitFor({ timeout: 3000 });
    return true;
  });
});

holds('a viewer looks at everything, and has no button that changes something', async ({ open }) => {
  const page = await open('/try', { as: 'vera' });
  await page.getByText('vera', { exact: true }).first().waitFor();
  await page.getByText('viewer', { exact: true }).first().waitFor();
  await page.getByRole('heading', { name: 'Viewers place no orders' }).waitFor();
  assert.equal(await page.getByRole('button', { name: 'Place the order' }).count(), 0);
  const statuses = await page.evaluate(async () => {
    const headers = { 'content-type': 'application/json' };
    const post = async (path, body) => {
      const answer = await fetch(path, { method: 'POST', headers, body: JSON.stringify(body) });
      return answer.status;
    };
    return [
      await post('/api/orders', { order_id: 'viewer', total: '1.00' }),
      await post('/api/orders/viewer/status', { status: 'SENT' }),
      await post('/api/orders/viewer/reveal', { why: 'I want to' }),
    ];
  });
  assert.deepEqual(statuses, [403, 403, 403]);
});

// Runs in the page. One announcement may replace another before anybody looks.
function rememberAnnouncements() {
  window.announced = [];
  const region = document.getElementById('announcements');
  new MutationObserver(() => window.announced.push(region.textContent)).observe(region, { childList: true });
}
