// Runs live on the server: who started them, why, and what becomes of them when nobody looks.

import assert from 'node:assert/strict';

import { lab } from '../lab/lab.js';
import { holds } from '../page/case.js';
import { confirm } from '../page/dead-letters.js';
import { filled, newOrders, preview } from '../page/replay.js';

/** How long a run with a rate may take. */
const LONG = 150_000;

/** Returns the badge of a run's state; the pause of the header's own updates is another one. */
function state(scope, word) {
  return scope.getByText(word, { exact: true }).last();
}

/** Returns the name of a fact about a run. */
function term(page, name) {
  return page.getByRole('term').filter({ hasText: new RegExp(`^${name}$`) });
}

/** Returns a fact about a run. */
function fact(page, name) {
  return term(page, name).locator('xpath=following-sibling::dd').innerText();
}

/** Returns the rate at which everything takes so many seconds. */
async function slowRate(page, seconds) {
  await newOrders();
  await preview(page);
  const range = await page.getByText(/^Range: /).innerText();
  const offsets = Number(/^Range: ([\d,]+) offset/.exec(range)[1].replaceAll(',', ''));
  return Math.max(1, Math.floor(offsets / seconds));
}

holds('a page that is closed does not stop its run, and everybody sees who started it, and why', async ({ open }) => {
  const why = 'is a closed page a stopped run?';
  const page = await open('/replay');
  await page.getByLabel('Records a second').fill(String(await slowRate(page, 8)));
  const vouchers = await preview(page);
  await confirm(await filled(page, vouchers, { why }), 'Run');
  await page.getByText('Run: running').waitFor();
  const path = await page.getByRole('link', { name: 'Open this run' }).last().getAttribute('href');
  await page.close();

  const list = await open('/runs', { as: 'vera' });
  const row = list.getByRole('table', { name: 'Runs, the newest first' }).getByRole('row').filter({ hasText: why });
  await row.getByText('ann', { exact: true }).waitFor();
  await state(row, 'Done').waitFor({ timeout: LONG });
  await row.getByRole('link').click();
  await list.getByRole('heading', { level: 1, name: /^Backfill/ }).waitFor();
  assert.equal(new URL(list.url()).pathname, path);
  await state(list, 'Done').waitFor();
  assert.equal(await fact(list, 'Who'), 'ann');
  assert.equal(await fact(list, 'Why'), why);
  assert.equal(await term(list, 'Exit code').count(), 0, 'only a failure needs its exit code');
  assert.equal(await list.getByRole('button', { name: /^(Stop|Pause)$/ }).count(), 0);
});

holds('a run shows its progress, is paused by an operator and by no viewer, and goes on', async ({ open }) => {
  const page = await open('/replay');
  // A preview at this rate would take as long, so it is started after one without a rate.
  const rate = await slowRate(page, 60);
  const preview = new URL(page.url()).searchParams.get('preview');
  const { result } = await page.evaluate(async (id) => (await fetch(`/api/runs/${id}`)).json(), preview);
  const request = {
    kind: 'backfill',
    name: `browser-${process.pid}`,
    rate: String(rate),
    why: 'it will be paused',
    preview,
    confirm: result.vouchers,
  };
  const path = await page.evaluate(async (body) => {
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch('/api/runs', { method: 'POST', headers, body: JSON.stringify(body) });
    return `/runs/${(await answer.json()).id}`;
  }, request);
  const viewer = await open(path, { as: 'vera' });
  await state(viewer, 'Running').waitFor();
  await viewer.getByRole('progressbar').waitFor();
  const pause = (page) => page.getByRole('button', { name: 'Pause', exact: true });
  assert.equal(await pause(viewer).count(), 0);
  const status = await viewer.evaluate(async (run) => (await fetch(`/api${run}`, { method: 'DELETE' })).status, path);
  assert.equal(status, 403);

  const other = await open(path, { as: 'otto' });
  await pause(other).click();
  await confirm(other.getByRole('dialog', { name: 'Pause this run?' }), 'Pause it');
  for (const one of [viewer, other]) await state(one, 'Paused').waitFor();
  await other.getByRole('button', { name: 'Continue …' }).click();
  const dialog = other.getByRole('dialog', { name: `Continue ${request.name}?` });
  await dialog.getByLabel('Why', { exact: true }).fill('it has been paused for long enough');
  await confirm(dialog, 'Continue');
  await state(other, 'Done').waitFor({ timeout: LONG });
  assert.notEqual(new URL(other.url()).pathname, path, 'what goes on is a run of its own');
  assert.equal(await fact(other, 'Who'), 'otto');
});

holds('a run that the console does not know is said to be unknown, and why', async ({ open }) => {
  const page = await open('/runs/0198c1a0-0000-7000-8000-000000000000');
  await page.getByRole('alert').filter({ hasText: 'there is no such run' }).waitFor();
});

holds('a console that has run nothing says where to begin', async ({ open }) => {
  const fresh = await lab.newConsole('fresh-console', { CONSOLE_WITHOUT_KEYS: 'operator' });
  await fresh.start();
  try {
    const page = await open('/runs', { as: null, at: fresh.url });
    await page.getByRole('heading', { name: 'Nothing was run yet' }).waitFor();
    await page.getByRole('link', { name: 'Preview a replay' }).click();
    await page.getByRole('heading', { level: 1, name: 'Replay' }).waitFor();
    assert.equal(await page.getByRole('button', { name: 'Sign out' }).count(), 0, 'nobody is signed in');
  } finally {
    await fresh.stop();
  }
});
