// Records that could not be used: found by reason, shown in full, tried again, discarded.

import assert from 'node:assert/strict';

import { lab } from '../lab/lab.js';
import { write } from '../lab/kafka.js';
import { newOrderId } from '../lab/orders.js';
import { holds } from '../page/case.js';
import { confirm, fillRedrive, rowOf, section, select, untilListed } from '../page/dead-letters.js';

const badge = (page, word) => page.getByText(word, { exact: true }).first();

holds('garbage of a console producer is shown in full, tried again in vain, and discarded', async ({ open }) => {
  const id = newOrderId('garbage');
  const garbage = `{"order_id":"${id}","status":"SHIPPED","total":"120.00"}`;
  await write([{ key: id, value: garbage, headers: { source: 'the test shop' } }]);
  const page = await open('/dead-letters');
  const row = await untilListed(page, id);
  await row.getByText('unknown_status').waitFor();
  await row.getByRole('link', { name: /^order-status\// }).click();

  await page.getByRole('heading', { level: 1, name: /^Dead letter order-status\// }).waitFor();
  await page.getByText(/expected one of PENDING, SENT, DELIVERED and CANCELLED, found "SHIPPED"/).first().waitFor();
  const text = page.getByRole('group', { name: 'The value as text' });
  assert.deepEqual(JSON.parse(await text.innerText()), JSON.parse(garbage));
  await page.getByText(/^As hex, \d+ bytes$/).click();
  const hex = page.getByRole('group', { name: 'The value in hex' });
  assert.match(await hex.innerText(), /^0+ {2}7b 22 6f 72 64 65 72 5f/, 'the bytes of {"order_');
  const headers = page.getByRole('table', { name: 'Headers of the record' });
  await headers.getByRole('row').filter({ hasText: 'source' }).getByText('the test shop').waitFor();
  await page.getByText(/^processor dead-letters show order-status\//).waitFor();

  await page.getByRole('button', { name: 'Redrive …' }).click();
  const panel = page.getByRole('region', { name: 'Redrive this dead letter' });
  await panel.getByText('Preview: done').waitFor();
  await panel.getByText('would stay open').waitFor();
  const dialog = await fillRedrive(page, panel, { count: 1, why: 'is it readable now?' });
  await confirm(dialog, 'Redrive');
  await panel.getByText('Redrive: done').waitFor();
  // In the letter's own state, and closed in the panel's list.
  await page.getByText(/^Tried again in vain, unknown_status/).filter({ visible: true }).first().waitFor();

  await page.getByRole('button', { name: 'Discard …' }).click();
  const discard = page.getByRole('dialog', { name: 'Discard 1 dead letter?' });
  await discard.getByRole('button', { name: 'Discard', exact: true }).click();
  await discard.getByText('Write down why').waitFor();
  await discard.getByLabel('Why', { exact: true }).fill('SHIPPED is a word of the test shop');
  await confirm(discard, 'Discard');
  await badge(page, 'Closed').waitFor();
  await page.getByText('Discarded: SHIPPED is a word of the test shop').waitFor();
  assert.equal(await page.getByRole('button', { name: 'Redrive …' }).count(), 0, 'it is closed for good');
});

holds('all of a reason are selected at once, discarded by their typed number, and stay listed as closed', async ({
  open,
}) => {
  const ids = Array.from({ length: 3 }, () => newOrderId('currency'));
  await write(ids.map((id) => ({ key: id, value: `{"order_id":"${id}","status":"SENT","total":1,"currency":"EURO"}` })));
  const page = await open('/dead-letters');
  await untilListed(page, 'invalid_currency', { count: ids.length });
  await page.getByRole('checkbox', { name: 'Select all open dead letters of invalid_currency' }).check();
  const bar = section(page, 'processor').getByRole('group', { name: 'Selected dead letters of the processor' });
  await bar.getByText('3 selected').waitFor();
  await bar.getByRole('button', { name: 'Discard …' }).click();
  const dialog = page.getByRole('dialog', { name: 'Discard 3 dead letters?' });
  await dialog.getByLabel('Why', { exact: true }).fill('EURO is no currency');
  await dialog.getByLabel('Type 3 to confirm').fill('4');
  await dialog.getByRole('button', { name: 'Discard', exact: true }).click();
  await dialog.getByText('Type 3, the number that the preview names.').waitFor();
  await dialog.getByLabel('Type 3 to confirm').fill('3');
  await dialog.getByText(/^processor dead-letters discard --letter .* --by ann --why 'EURO is no currency'$/).waitFor();
  await confirm(dialog, 'Discard');
  await page.getByText('Discard: done').waitFor();
  await rowOf(page, 'invalid_currency').first().waitFor({ state: 'detached' });
  await page.getByRole('checkbox', { name: 'Show closed ones' }).check();
  await rowOf(page, 'Discarded: EURO is no currency').nth(2).waitFor();
  assert.match(page.url(), /closed=true/, 'what is listed has an address');
});

holds('after a discard another dead letter is selected and discarded, and its panel is closed', async ({ open }) => {
  const ids = [newOrderId('first'), newOrderId('second')];
  await write(ids.map((id) => ({ key: id, value: `{"order_id":"${id}","status":"GONE","total":1}` })));
  const page = await open('/dead-letters');
  for (const id of ids) await untilListed(page, id);
  const panel = section(page, 'processor').getByRole('region', { name: 'Discard of 1 dead letter' });
  for (const id of ids) {
    const bar = await select(page, id);
    await bar.getByText('1 selected').waitFor();
    await bar.getByRole('button', { name: 'Discard …' }).click();
    const dialog = page.getByRole('dialog', { name: 'Discard 1 dead letter?' });
    await dialog.getByLabel('Why', { exact: true }).fill('GONE is no status');
    await confirm(dialog, 'Discard');
    await panel.getByText('Discard: done').waitFor();
    await rowOf(page, id).waitFor({ state: 'detached' });
  }
  await panel.getByRole('button', { name: 'Close' }).click();
  await panel.waitFor({ state: 'detached' });
});

holds('the dead letters of one reason are listed alone, under an address', async ({ open }) => {
  const ids = [newOrderId('alone'), newOrderId('alone')];
  await write([
    { key: ids[0], value: `{"order_id":"${ids[0]}","status":"SENT","total":"12O.00"}` },
    { key: ids[1], value: 'no order at all' },
  ]);
  const page = await open('/dead-letters');
  for (const id of ids) await untilListed(page, id);
  await section(page, 'processor').getByRole('button', { name: 'invalid_total', exact: true }).click();
  await rowOf(page, ids[1]).waitFor({ state: 'detached' });
  await rowOf(page, ids[0]).waitFor();
  await page.reload();
  await rowOf(page, ids[0]).waitFor();
  const readAt = section(page, 'processor').getByText('Read at').locator('time');
  assert.match(await readAt.getAttribute('title'), /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d.* UTC$/, 'UTC is in the title');
  assert.equal(await rowOf(page, ids[1]).count(), 0);
  await section(page, 'processor').getByRole('button', { name: 'List all reasons' }).click();
  await rowOf(page, ids[1]).waitFor();
});

holds('a voucher that the sink cannot write is listed, and shown without its code', async ({ open }) => {
  const id = newOrderId('voucher');
  await write([{ key: id, value: `{"order_id":"${id}","code":"SECRET-CODE","amount":"no amount"}` }], { topic: 'vouchers' });
  const page = await open('/dead-letters');
  const row = await untilListed(page, id, { service: 'sink' });
  await row.getByRole('link', { name: /^vouchers\// }).click();
  await page.getByText(/which may contain a voucher code/).waitFor();
  assert.ok(!(await page.content()).includes('SECRET-CODE'));
});

holds('a viewer previews a redrive, and can neither run it nor discard', async ({ open }) => {
  const id = newOrderId('viewer');
  await write([{ key: id, value: `{"order_id":"${id}","status":"LOST","total":1}` }]);
  const page = await open('/dead-letters', { as: 'vera' });
  const row = await untilListed(page, id);
  const letter = await row.getByRole('link', { name: /^order-status\// }).innerText();
  const bar = await select(page, id);
  assert.equal(await bar.getByRole('button', { name: /Discard/ }).count(), 0);
  await bar.getByRole('button', { name: 'Preview a redrive …' }).click();
  const panel = page.getByRole('region', { name: 'Redrive 1 dead letter' });
  await panel.getByText('You are a viewer: an operator can redrive them.').waitFor();
  const requests = [
    { kind: 'redrive', service: 'processor', ids: [letter], dry_run: false, confirm: 1, why: 'I want to' },
    { kind: 'discard', service: 'processor', ids: [letter], why: 'I want to' },
    { kind: 'backfill', dry_run: false, why: 'I want to' },
  ];
  for (const request of requests) {
    const status = await page.evaluate(async (body) => {
      const headers = { 'content-type': 'application/json' };
      const answer = await fetch('/api/runs', { method: 'POST', headers, body: JSON.stringify(body) });
      return answer.status;
    }, request);
    assert.equal(status, 403, request.kind);
  }
});

holds('closing the panel of a dead letter that was opened by its address leaves the focus on its heading', async ({
  open,
}) => {
  const id = newOrderId('direct');
  await write([{ key: id, value: `{"order_id":"${id}","status":"ASTRAY","total":1}` }]);
  const list = await open('/dead-letters');
  const row = await untilListed(list, id);
  const letter = await row.getByRole('link', { name: /^order-status\// }).innerText();
  const page = await open(`/dead-letters/processor/${encodeURIComponent(letter)}`);
  await page.getByRole('button', { name: 'Redrive …' }).click();
  const panel = page.getByRole('region', { name: 'Redrive this dead letter' });
  await panel.getByText('Preview: done').waitFor();
  await panel.getByRole('button', { name: 'Close' }).click();
  await panel.waitFor({ state: 'detached' });
  assert.equal(await page.locator(':focus').innerText(), `Dead letter ${letter}`);
});

holds('a dead letter that is not there is said to be unknown', async ({ open }) => {
  const page = await open('/dead-letters/processor/order-status%2F0%2F999999999');
  const problem = page.getByRole('alert');
  await problem.getByText('No dead letter of the processor has its original at').waitFor();
  await page.goto(`${lab.console.url}/dead-letters/producer/order-status%2F0%2F1`);
  await page.getByRole('alert').getByText('There is no service producer').waitFor();
});
