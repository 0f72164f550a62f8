// Why an order has a voucher, or none.

import assert from 'node:assert/strict';

import { lab, AUDIT_TOPIC } from '../lab/lab.js';
import { read } from '../lab/kafka.js';
import { hasRow, newOrderId, placeOrder } from '../lab/orders.js';
import { codesOf } from '../lab/rows.js';
import { until } from '../lab/wait.js';
import { holds } from '../page/case.js';
import { confirm } from '../page/dead-letters.js';

const records = (page) => page.getByRole('table', { name: 'Records of the order in order-status, in order' });
const rows = (page) => page.getByRole('table', { name: 'Rows of the order in the vouchers table' });

holds('an eligible order is explained: each record, the voucher, the row, the command', async ({ open }) => {
  const id = await placeOrder({ total: '150.00' });
  await hasRow(id);
  const page = await open('/orders');
  await page.getByRole('heading', { name: 'Why has an order a voucher, or none?' }).waitFor();
  await page.getByRole('searchbox', { name: 'Order id' }).fill(id);
  await page.getByRole('button', { name: 'Explain' }).click();
  await page.getByRole('heading', { name: 'It has its voucher of 5.00 EUR' }).waitFor();
  await records(page).getByRole('row').filter({ hasText: 'Skipped: status' }).waitFor();
  const eligible = records(page).getByRole('row').filter({ hasText: 'Eligible' });
  await eligible.getByText('total 150.00 EUR is at least 100.00').waitFor();
  await page.getByText('The voucher', { exact: true }).waitFor();
  assert.equal(await rows(page).getByRole('row').count(), 2, 'a head and one row');
  await page.getByText(`processor explain ${id}`, { exact: true }).waitFor();
  await page.getByRole('heading', { name: 'Path, hop by hop' }).waitFor();
  const time = page.getByRole('time').first();
  assert.match(await time.getAttribute('title'), / UTC/, 'UTC on hover');
  const read = page.getByText(/^Read at /).getByRole('time');
  assert.match(await read.getAttribute('title'), / UTC/, 'UTC on hover of when it was read');
  assert.equal(await page.title(), `Order ${id} · checkout`);
});

holds('a skipped order is explained in the words of the rule', async ({ open }) => {
  const id = await placeOrder({ total: '99.99' });
  const page = await open(`/orders/${id}`);
  // It may not have reached the topic yet.
  const skipped = records(page).getByRole('row').filter({ hasText: 'Skipped: threshold' });
  const again = page.getByRole('button', { name: /^(Read|Look) again$/ });
  await until('the record to be read', async () => {
    await again.waitFor();
    if ((await skipped.count()) > 0) return true;
    await again.click();
    return false;
  });
  await page.getByRole('heading', { name: 'No voucher', exact: true }).waitFor();
  await page.getByText('Total 99.99 EUR is below 100.00.').first().waitFor();
  await page.getByText('No voucher record was found.').waitFor();
});

holds('an order that nobody knows is not found, and the page says what to do', async ({ open }) => {
  const id = newOrderId('nobody');
  const page = await open(`/orders/${id}`);
  await page.getByRole('heading', { name: `Order ${id} was not found` }).waitFor();
  await page.getByRole('button', { name: 'Search every partition' }).click();
  await page.getByText(`processor explain --all-partitions ${id}`, { exact: true }).waitFor();
  await page.getByRole('link', { name: 'Wait for it' }).click();
  await page.getByRole('region', { name: 'The followed order' }).getByText(id).first().waitFor();
});

holds('a code is masked until an operator reveals it, which is recorded', async ({ open }) => {
  const id = await placeOrder();
  await hasRow(id);
  const [code] = await codesOf(id);
  const page = await open(`/orders/${id}`);
  await rows(page).waitFor();
  assert.ok(!(await page.content()).includes(code), 'the code is not in the page');
  await page.getByRole('button', { name: 'Reveal codes …' }).click();
  const dialog = page.getByRole('dialog', { name: `Reveal the codes of order ${id}?` });
  await dialog.getByRole('button', { name: 'Reveal' }).click();
  await dialog.getByText('Write down why').waitFor();
  const why = `the customer of ${id} asks`;
  await dialog.getByLabel('Why', { exact: true }).fill(why);
  await dialog.getByText(`processor explain --reveal --by ann --why '${why}' ${id}`, { exact: true }).waitFor();
  await confirm(dialog, 'Reveal');
  await rows(page).getByText(code).waitFor();
  await recorded(why);
});

holds('what every partition was searched for stays searched when codes are revealed', async ({ open }) => {
  const id = await placeOrder();
  await hasRow(id);
  const page = await open(`/orders/${id}`);
  await rows(page).waitFor();
  const asked = [];
  page.on('request', (request) => asked.push(new URL(request.url()).pathname));
  await page.getByText('Search further').click();
  await page.getByText(`processor explain --all-partitions ${id}`, { exact: true }).waitFor();
  await page.getByRole('button', { name: 'Search every partition' }).click();
  await page.getByText(/^All partitions of order-status were read/).waitFor();
  assert.equal(new URL(page.url()).searchParams.get('all'), 'true', 'the search has an address');
  await page.getByRole('heading', { name: 'Path, hop by hop' }).waitFor();
  assert.equal(asked.filter((path) => path.startsWith('/api/orders/')).length, 1, `the topics are read once: ${asked}`);
  assert.equal(await page.locator(':focus').innerText(), `Order ${id}`, 'the focus is on the heading');
  await page.getByText('The order was read.').waitFor({ state: 'attached' });
  await page.getByRole('button', { name: 'Reveal codes …' }).click();
  const dialog = page.getByRole('dialog', { name: `Reveal the codes of order ${id}?` });
  const why = `the shop of ${id} asks`;
  await dialog.getByLabel('Why', { exact: true }).fill(why);
  const command = `processor explain --all-partitions --reveal --by ann --why '${why}' ${id}`;
  await dialog.getByText(command, { exact: true }).waitFor();
  await confirm(dialog, 'Reveal');
  await page.getByText('with codes').waitFor();
  await page.getByText(/^All partitions of order-status were read/).waitFor();
});

holds('a viewer sees no code and has no button to reveal it', async ({ open }) => {
  const id = await placeOrder();
  await hasRow(id);
  const page = await open(`/orders/${id}`, { as: 'vera' });
  await page.getByText('Codes are masked. An operator can reveal them.').waitFor();
  assert.equal(await page.getByRole('button', { name: /^Reveal/ }).count(), 0);
  const status = await page.evaluate(async (order) => {
    const answer = await fetch(`/api/orders/${order}/reveal`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ why: 'curious' }),
    });
    return answer.status;
  }, id);
  assert.equal(status, 403);
});

/** Waits for the audit record of an action by its reason. */
async function recorded(why) {
  const found = await until(`an audit record with "${why}"`, async () => {
    const all = (await read(AUDIT_TOPIC)).map((line) => JSON.parse(line));
    return all.find((record) => record.why === why);
  });
  assert.equal(found.by, 'ann');
  assert.ok(!JSON.stringify(found).includes(lab.keys.ann), 'no key is recorded');
}
