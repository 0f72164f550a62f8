// Texts of records, people and addresses that look like markup stay texts.

import assert from 'node:assert/strict';

import { write } from '../lab/kafka.js';
import { lab } from '../lab/lab.js';
import { hasRow } from '../lab/orders.js';
import { until } from '../lab/wait.js';
import { holds } from '../page/case.js';
import { confirm, select, untilListed } from '../page/dead-letters.js';

const IMAGE = '<img src=x onerror=alert(1)>';
const SCRIPT = '<script>alert(2)</script>';
const SVG = '<svg onload=alert(3)>';

/** Fails when something of a text became an element. That nothing was run, is watched in every page. */
async function hasOnlyItsOwnElements(page) {
  assert.equal(await page.locator('img, iframe, object, embed').count(), 0, 'elements of a hostile text');
  assert.equal(await page.locator('script').count(), 1, 'scripts beside that of the page');
  assert.equal(await page.locator('[onerror], [onload]').count(), 0, 'handlers of a hostile text');
}

holds('markup in the id of an order is a text in every view of the order', async ({ open }) => {
  const id = `${IMAGE}${process.pid}`;
  await write([{ key: id, value: JSON.stringify({ order_id: id, status: 'SENT', total: '150.00' }) }]);
  await hasRow(id);
  const page = await open(`/orders/${encodeURIComponent(id)}`);
  await page.getByRole('heading', { level: 1, name: `Order ${id}` }).waitFor();
  await page.getByRole('heading', { name: 'It has its voucher of 5.00 EUR' }).waitFor();
  await hasOnlyItsOwnElements(page);
  assert.equal(await page.title(), `Order ${id} · checkout`);
  await page.goto(`/try?order=${encodeURIComponent(id)}`);
  await page.getByRole('heading', { name: `Order ${id}` }).waitFor();
  await page.getByRole('main').getByText('The voucher is in Postgres.').waitFor();
  await hasOnlyItsOwnElements(page);
});

holds('markup in a key, a header, a value and a message is a text in the views of dead letters', async ({ open }) => {
  const key = `${SVG}${process.pid}`;
  const value = `{"order_id":"${key}","status":"${SCRIPT}","total":1,"note":"${IMAGE}"}`;
  await write([{ key, value, headers: { [SVG]: SCRIPT, source: IMAGE } }]);
  const page = await open('/dead-letters');
  const row = await untilListed(page, key);
  await row.getByText(SCRIPT).waitFor();
  await hasOnlyItsOwnElements(page);
  const bar = await select(page, key);
  await row.getByRole('link', { name: /^order-status\// }).click();
  await page.getByRole('group', { name: 'The value as text' }).getByText(IMAGE).waitFor();
  const headers = page.getByRole('table', { name: 'Headers of the record' });
  await headers.getByRole('row').filter({ hasText: SVG }).getByText(SCRIPT).waitFor();
  await headers.getByText(IMAGE).waitFor();
  await hasOnlyItsOwnElements(page);

  await page.goBack();
  await untilListed(page, key);
  await select(page, key);
  await bar.getByRole('button', { name: 'Discard …' }).click();
  const dialog = page.getByRole('dialog', { name: 'Discard 1 dead letter?' });
  const why = `${IMAGE} ${SCRIPT} ${process.pid}`;
  await dialog.getByLabel('Why', { exact: true }).fill(why);
  await dialog.getByText(/^processor dead-letters discard/).filter({ hasText: SCRIPT }).waitFor();
  await hasOnlyItsOwnElements(page);
  await confirm(dialog, 'Discard');
  await page.getByText('Discard: done').waitFor();
  await page.goto('/runs');
  const run = page.getByRole('row').filter({ hasText: why });
  await run.getByRole('link').click();
  await page.getByText('Done', { exact: true }).last().waitFor();
  await page.getByText(why, { exact: true }).waitFor();
  await hasOnlyItsOwnElements(page);
});

holds('markup in an address is a text, and an address leads to no other site', async ({ open }) => {
  const hostile = encodeURIComponent(`"><${'img src=x onerror=alert(1)'}>`);
  const page = await open(`/flow?node=${hostile}&as=${hostile}`);
  await page.getByRole('heading', { level: 1, name: 'Flow' }).waitFor();
  for (const [path, heading] of [
    [`/dead-letters?processor=${hostile}&closed=${hostile}`, 'Dead letters'],
    [`/replay?from=${hostile}&name=${hostile}&min_total=${hostile}`, 'Replay'],
    [`/try?order=${hostile}`, 'Try'],
    [`/runs/${hostile}`, 'Run'],
    [`/${hostile}`, 'There is no such page'],
  ]) {
    await page.goto(path);
    await page.getByRole('heading', { level: 1, name: heading, exact: true }).waitFor();
    await hasOnlyItsOwnElements(page);
  }
  const others = ['//evil.example/', '/\t/evil.example', '/\\evil.example', 'https://evil.example/'];
  others.push('javascript:alert(4)');
  for (const back of others) {
    const login = await open(`/login?return=${encodeURIComponent(back)}`, { as: null });
    await login.getByLabel('Key', { exact: true }).fill(lab.keys.ann);
    await login.getByRole('button', { name: 'Sign in' }).click();
    await login.getByRole('heading', { level: 1, name: 'Flow' }).waitFor();
    assert.equal(new URL(login.url()).pathname, '/flow', back);
  }
});

holds('a script that got into a page would not run', async ({ open }) => {
  // Not watched: the violations of the policy are what this test is about.
  const page = await open('/flow', { watched: false });
  const { isRefused, isSent } = await page.evaluate(async () => {
    window.violated = [];
    addEventListener('securitypolicyviolation', (event) => window.violated.push(event.effectiveDirective));
    let refused = false;
    try {
      document.body.insertAdjacentHTML('beforeend', '<img src=x onerror="window.hacked = 1">');
    } catch {
      refused = true;
    }
    const script = document.createElement('script');
    script.append('window.hacked = 2');
    const image = document.createElement('img');
    image.src = 'https://evil.example/pixel';
    document.body.append(script, image);
    const sent = await fetch('https://evil.example/', { mode: 'no-cors' }).then(
      () => true,
      () => false,
    );
    return { isRefused: refused, isSent: sent };
  });
  assert.ok(isRefused, 'markup is refused');
  assert.equal(isSent, false, 'nothing is sent elsewhere');
  for (const directive of ['require-trusted-types-for', 'connect-src', 'img-src']) {
    // Violations are told a little later.
    await until(`a violation of ${directive}`, async () => {
      return (await page.evaluate(() => window.violated)).includes(directive);
    });
  }
  assert.equal(await page.evaluate(() => window.hacked), undefined);
});
