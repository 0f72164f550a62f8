// The cause is mended, and dead letters are tried again: once, whoever tries.

import assert from 'node:assert/strict';

import { write } from '../lab/kafka.js';
import { hasRow, newOrderId } from '../lab/orders.js';
import { avro, nextSchemaIds, registerSchema } from '../lab/registry.js';
import { codesOf } from '../lab/rows.js';
import { holds } from '../page/case.js';
import { confirm, fillRedrive, preview, rowOf, select, untilListed } from '../page/dead-letters.js';
import { vouchersOf } from '../page/orders.js';

/** Writes sent orders of a schema that nobody has registered yet. Returns its id and theirs. */
async function writeUnreadable(word, totals) {
  const [schema] = await nextSchemaIds(1);
  const ids = totals.map(() => newOrderId(word));
  await write(
    ids.map((id, at) => ({ key: id, value: avro(schema, { order_id: id, status: 'SENT', total: totals[at] }) })),
  );
  return { ids, mend: async () => assert.equal(await registerSchema(), schema) };
}

holds('once its schema is registered a selection is previewed in euros, redriven, and has its rows', async ({ open }) => {
  const { ids, mend } = await writeUnreadable('mended', ['150.00', '150.00', '50.0']);
  const page = await open('/dead-letters');
  await untilListed(page, 'mended-', { count: ids.length });
  await mend();
  const panel = await preview(page, await select(page, 'mended-'), 'Redrive 3 dead letters');
  await panel.getByText('vouchers would be issued').waitFor();
  await panel.getByText('10.00 EUR').first().waitFor();
  const outcomes = panel.getByRole('table', { name: 'Dead letters by outcome' });
  await outcomes.getByRole('row').filter({ hasText: 'A voucher is issued' }).getByText('2', { exact: true }).waitFor();
  assert.deepEqual(await codesOf(ids[0]), [], 'a preview writes nothing');

  const dialog = await fillRedrive(page, panel, { count: 3, why: 'the shop has registered its schema' });
  await dialog.getByText(/^processor redrive --letter .* --expect 3@[0-9a-f]{16} --by ann --why 'the shop has/).waitFor();
  await confirm(dialog, 'Redrive');
  await panel.getByText('Redrive: done').waitFor();
  await panel.getByText('vouchers were issued').waitFor();
  for (const id of ids.slice(0, 2)) await hasRow(id);
  assert.deepEqual(await codesOf(ids[2]), [], 'it is below the threshold');
  await rowOf(page, 'mended-').first().waitFor({ state: 'detached' });
  await panel.getByRole('link', { name: /^The run goes on when this page is closed/ }).click();
  await page.getByText('the shop has registered its schema', { exact: true }).waitFor();
});

holds('a redrive of a reason runs on what was previewed, and not on as many others', async ({ open }) => {
  const [closed, late, other] = [newOrderId('closed'), newOrderId('late'), newOrderId('other')];
  const garbage = (id) => ({ key: id, value: `{"order_id":"${id}","status":"SENT","total":1,"currency":"E"}` });
  await write([garbage(closed), { key: other, value: `{"order_id":"${other}","status":"ELSEWHERE","total":1}` }]);
  const page = await open('/dead-letters');
  const row = await untilListed(page, closed);
  await untilListed(page, other);
  const bar = await select(page, other);
  const letter = await row.getByRole('link', { name: /^order-status\// }).innerText();
  await page.getByRole('button', { name: 'Redrive all open dead letters of invalid_currency' }).click();
  const panel = page.getByRole('region', { name: 'Redrive all open dead letters of invalid_currency' });
  await panel.getByText('Preview: done').waitFor();
  await bar.getByText('1 selected').waitFor();
  const count = Number(/Redrive (\d+) dead/.exec(await panel.getByRole('button', { name: /^Redrive \d/ }).innerText())[1]);

  const otto = await open(`/dead-letters/processor/${encodeURIComponent(letter)}`, { as: 'otto' });
  await otto.getByRole('button', { name: 'Discard …' }).click();
  const discard = otto.getByRole('dialog', { name: 'Discard 1 dead letter?' });
  await discard.getByLabel('Why', { exact: true }).fill('E is no currency');
  await confirm(discard, 'Discard');
  await otto.getByText('Discard: done').waitFor();
  await write([garbage(late)]);
  await untilListed(page, late);

  await confirm(await fillRedrive(page, panel, { count, why: 'it was previewed' }), 'Redrive');
  await panel.getByText('Redrive: failed').waitFor();
  await panel.getByText(/as many dead letters are open and selected as --expect says, but others/i).first().waitFor();

  await panel.getByRole('button', { name: 'Preview again' }).click();
  await panel.getByText('Preview: done').waitFor();
  const listed = page.waitForResponse((response) => response.url().includes('?service=processor'));
  await confirm(await fillRedrive(page, panel, { count, why: 'it was previewed again' }), 'Redrive');
  await panel.getByText('Redrive: done').waitFor();
  await listed;
  await bar.getByText('1 selected').waitFor();
  assert.ok(await rowOf(page, other).getByRole('checkbox').isChecked(), 'no redrive was of this one');
});

holds('two operators redrive the same dead letters at once, and it has one effect', async ({ open }) => {
  const { ids, mend } = await writeUnreadable('two', ['150.00', '150.00', '150.00']);
  const pages = await Promise.all(['ann', 'otto'].map((as) => open('/dead-letters', { as })));
  for (const page of pages) await untilListed(page, 'two-', { count: ids.length });
  await mend();
  const dialogs = [];
  for (const page of pages) {
    const panel = await preview(page, await select(page, 'two-'), 'Redrive 3 dead letters');
    dialogs.push(await fillRedrive(page, panel, { count: 3, why: 'we were not told of each other' }));
  }
  await Promise.all(dialogs.map((dialog) => confirm(dialog, 'Redrive')));
  const outcomes = [];
  for (const page of pages) {
    const panel = page.getByRole('region', { name: 'Redrive 3 dead letters' });
    const end = panel.getByText(/^Redrive: (done|failed)$/);
    await end.waitFor();
    outcomes.push(await end.innerText());
  }
  assert.ok(outcomes.includes('Redrive: done'), `one of them is done: ${outcomes}`);
  for (const id of ids) {
    await hasRow(id);
    assert.deepEqual(await vouchersOf(pages[0], id), { all: 1, own: 1 }, id);
  }
  for (const [at, outcome] of outcomes.entries()) {
    if (outcome === 'Redrive: done') continue;
    const panel = pages[at].getByRole('region', { name: 'Redrive 3 dead letters' });
    await panel.getByText(/somebody else|another|fenced|nothing was written/i).first().waitFor();
  }
  for (const page of pages) await rowOf(page, 'two-').first().waitFor({ state: 'detached' });
});
