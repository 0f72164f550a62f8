// A range is evaluated again: counted first, then issued.

import assert from 'node:assert/strict';

import { placeOrders } from '../lab/orders.js';
import { countRows } from '../lab/rows.js';
import { until } from '../lab/wait.js';
import { holds } from '../page/case.js';
import { confirm } from '../page/dead-letters.js';
import { filled, newOrders, preview, runButton } from '../page/replay.js';

holds('a replay is previewed, confirmed by its count, and changes no row', async ({ open }) => {
  await newOrders();
  const page = await open('/replay');
  const vouchers = await preview(page);
  await until(`${vouchers} rows, as many as the preview names`, async () => (await countRows()) === vouchers);
  await page.getByText('their sum', { exact: true }).waitFor();
  await page.getByText(`${(vouchers * 5).toLocaleString('en')}.00 EUR`).first().waitFor();
  const decisions = page.getByRole('table', { name: 'Records by decision' });
  await decisions.getByRole('row').filter({ hasText: 'Eligible' }).waitFor();
  await decisions.getByRole('row').filter({ hasText: 'Skipped' }).first().waitFor();
  await page.getByRole('table', { name: 'Vouchers by whether they have a row' }).waitFor();
  const days = page.getByRole('table', { name: 'Vouchers by day' });
  await days.getByRole('row').filter({ hasText: /\d{4}-\d\d-\d\d/ }).first().waitFor();
  const ofDays = await days.locator('tbody tr td:nth-child(2)').allInnerTexts();
  const together = ofDays.reduce((sum, text) => sum + Number(text.replaceAll(',', '')), 0);
  assert.equal(together, vouchers, 'the days add up to the preview');

  const dialog = await filled(page, vouchers, { why: 'does the replay change a row?', count: vouchers + 1 });
  await dialog.getByRole('button', { name: 'Run', exact: true }).click();
  await dialog.getByText(`Type ${vouchers}, the number that the preview names.`).waitFor();
  await dialog.getByLabel(`Type ${vouchers} to confirm`).fill(String(vouchers));
  await dialog.getByText(/^processor backfill --name replay-.* --by ann --why 'does the replay/).waitFor();
  await confirm(dialog, 'Run');
  await page.getByText('It goes on when this page is closed.').waitFor();
  await page.getByText('Run: done').waitFor();
  await page.getByText('voucher records written').waitFor();
  await page.getByText('reached', { exact: true }).waitFor();
  assert.equal(await countRows(), vouchers, 'an order that has its voucher gets no second one');
});

holds('another rule is tried beside the one of today, and can only be looked at', async ({ open }) => {
  await newOrders();
  const below = 2;
  await placeOrders(below, { total: '60.00' });
  const page = await open('/replay');
  await page.getByText('What if the rule were another?').click();
  await page.getByLabel('Smallest total').fill('55');
  await page.getByText('processor backfill --voucher-min-total 55 --dry-run', { exact: true }).waitFor();
  const more = page.getByRole('table', { name: 'Orders that earn a voucher, by rule' });
  const alone = more.getByRole('row').filter({ hasText: 'By this rule alone' }).getByRole('cell');
  await until('the new orders to be among those of this rule alone', async () => {
    await page.getByRole('button', { name: 'Preview', exact: true }).click();
    await page.getByText('Preview: done').waitFor();
    return Number((await alone.innerText()).replaceAll(',', '')) >= below;
  });
  await page.getByText(/This is a what-if/).waitFor();
  assert.equal(await runButton(page).count(), 0);
  assert.match(page.url(), /preview=/, 'a preview has an address');
  await page.reload();
  await page.getByText('Preview: done').waitFor();
  assert.equal(await page.getByLabel('Smallest total').inputValue(), '55');
});

holds('a viewer previews, and has no button that runs', async ({ open }) => {
  await newOrders();
  const page = await open('/replay', { as: 'vera' });
  await page.getByRole('button', { name: 'Preview', exact: true }).click();
  await page.getByText('Preview: done').waitFor();
  await page.getByText('You are a viewer: an operator can run it.').waitFor();
  assert.equal(await runButton(page).count(), 0);
});

holds('a form with a fault says what to write, and runs nothing', async ({ open }) => {
  const page = await open('/replay');
  await page.getByLabel('Name', { exact: true }).fill('two words');
  await page.getByLabel('Records a second').fill('fast');
  await page.getByRole('button', { name: 'Preview', exact: true }).click();
  await page.getByText('Write 1 to 64 letters, digits, dots, dashes or underscores.').waitFor();
  assert.equal(await page.locator(':focus').getAttribute('name'), 'name', 'the first fault has the focus');
  assert.equal(await page.getByText('Preview: ').count(), 0);
});
