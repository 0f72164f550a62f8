// An order is placed, sent and followed, hop by hop.

import assert from 'node:assert/strict';

import { newOrderId } from '../lab/orders.js';
import { write } from '../lab/kafka.js';
import { codesOf } from '../lab/rows.js';
import { until } from '../lab/wait.js';
import { holds } from '../page/case.js';

const form = (page) => page.getByRole('form', { name: 'A new order' });
const followed = (page) => page.getByRole('region', { name: 'The followed order' });
const hop = (page, name) =>
  followed(page)
    .getByRole('listitem')
    .filter({ has: page.getByText(name, { exact: true }) });

/** Places what the form has, and returns the id of the order. */
async function place(page) {
  await form(page).getByRole('button', { name: 'Place the order' }).click();
  const answer = page.getByText(/^Placed as .*: 201 after \d+ m?s\.$/);
  await answer.waitFor();
  return /^Placed as (.*): 201/.exec(await answer.innerText())[1];
}

holds('an order is placed, sent, and followed to its row with the time of each hop', async ({ open }) => {
  const page = await open('/try');
  const id = await place(page);
  await page.getByText(/^Set to SENT: 200 after/).waitFor();
  await followed(page).getByText('The voucher is in Postgres.').waitFor();
  for (const name of ['Ingress', 'order-status', 'Voucher', 'Row in Postgres']) {
    await hop(page, name).getByText('Done').waitFor();
    assert.match(await hop(page, name).innerText(), /\d\d:\d\d:\d\d\.\d{3}/, `the time of ${name}`);
  }
  for (const name of ['order-status', 'Row in Postgres']) {
    assert.match(await hop(page, name).innerText(), /\+(<1|\d+) m?s/, `the milliseconds of ${name}`);
  }
  assert.equal((await codesOf(id)).length, 1);
  assert.equal(new URL(page.url()).searchParams.get('order'), id, 'what is followed has an address');
  await page.getByRole('link', { name: 'Explain this order' }).click();
  await page.getByRole('heading', { level: 1, name: `Order ${id}` }).waitFor();
});

holds('an order that is not sent waits for it, and is sent with a button', async ({ open }) => {
  const page = await open('/try');
  await page.getByRole('checkbox', { name: /^Set it to SENT at once/ }).uncheck();
  await form(page).getByLabel('Order id', { exact: true }).fill(newOrderId('waiting'));
  const id = await place(page);
  await hop(page, 'Voucher').getByText('Waiting').waitFor();
  assert.equal((await codesOf(id)).length, 0);
  await page.getByRole('button', { name: 'Set it to SENT' }).click();
  await followed(page).getByText('The voucher is in Postgres.').waitFor();
});

holds('an order below the threshold arrives, and earns no voucher', async ({ open }) => {
  const page = await open('/try');
  await form(page).getByLabel('Total', { exact: true }).fill('99.99');
  await place(page);
  await followed(page).getByText('The order earns no voucher.').waitFor();
  await followed(page).getByText(/99\.99 EUR is below 100\.00/).waitFor();
});

holds('an order of anybody is followed by its id, also before it is there', async ({ open }) => {
  const id = newOrderId('typed');
  const page = await open('/try');
  await page.getByRole('searchbox', { name: 'Follow any order' }).fill(` ${id} `);
  await page.getByRole('button', { name: 'Follow', exact: true }).click();
  await followed(page).getByRole('heading', { name: `Order ${id}` }).waitFor();
  await write([{ key: id, value: JSON.stringify({ order_id: id, status: 'SENT', total: '150.00' }) }]);
  await followed(page).getByText('The voucher is in Postgres.').waitFor();
});

holds('an order that nothing knows is asked for less and less often, and never in whole partitions', async ({ open }) => {
  const page = await open('/try');
  const asked = [];
  page.on('request', (request) => {
    const { pathname, search } = new URL(request.url());
    if (pathname.endsWith('/path')) asked.push({ search, at: Date.now() });
  });
  await page.getByRole('searchbox', { name: 'Follow any order' }).fill(newOrderId('never'));
  await page.getByRole('button', { name: 'Follow', exact: true }).click();
  await followed(page).getByText(/^The order is not known yet/).waitFor();
  await until('the order to be asked for four times', () => asked.length >= 4);
  const pauses = asked.slice(1, 4).map(({ at }, number) => at - asked[number].at);
  [1000, 2000, 4000].forEach((least, number) => assert.ok(pauses[number] >= least, `pauses of ${pauses} ms`));
  assert.ok(asked.every(({ search }) => search === '?no_scan=true'));
});

holds('following that fails has one alert, gives up in one sentence, and is taken up again', async ({ open }) => {
  const page = await open('/try');
  const paths = /\/api\/orders\/[^/]+\/path/;
  const body = JSON.stringify({ title: 'Kafka is away', detail: 'no broker answers', status: 503 });
  let asked = 0;
  await page.route(paths, (route) => {
    asked += 1;
    return route.fulfill({ status: 503, contentType: 'application/problem+json', body });
  });
  await page.getByRole('searchbox', { name: 'Follow any order' }).fill(newOrderId('away'));
  await page.getByRole('button', { name: 'Follow', exact: true }).click();
  const alert = followed(page).getByRole('alert');
  await alert.getByText('The page tries again').waitFor();
  const first = await alert.elementHandle();
  await until('the order to be asked for three times', () => asked >= 3);
  assert.ok(await first.evaluate((element) => element.isConnected), 'a further failure is no further alert');

  await page.evaluate(() => {
    const now = Date.now.bind(Date);
    Date.now = () => now() + 11 * 60 * 1000;
  });
  await followed(page).getByText('It could no longer be read, and the page has stopped trying.').waitFor();
  await alert.getByText('No broker answers').waitFor();
  assert.equal(await page.getByText('The page tries again').count(), 0, 'the alert says nothing else');

  await page.unroute(paths);
  await followed(page).getByRole('button', { name: 'Follow it further' }).click();
  assert.match(await page.locator(':focus').innerText(), /^Order /, 'the focus is on the heading');
  await followed(page).getByText('Following', { exact: true }).waitFor();
  await followed(page).getByText(/^The order is not known yet/).waitFor();
});

holds('an order that cannot be followed is not asked for again', async ({ open }) => {
  const page = await open('/try');
  await page.getByRole('searchbox', { name: 'Follow any order' }).fill('x'.repeat(200));
  await page.getByRole('button', { name: 'Follow', exact: true }).click();
  await followed(page).getByText('This order cannot be followed.').waitFor();
  await followed(page).getByText('Not followed').waitFor();
  assert.match(await followed(page).getByRole('alert').innerText(), /128/, 'what is wrong');
  assert.equal(await page.getByText('The page tries again').count(), 0);
});

holds('a form with a fault says what to write, and places nothing', async ({ open }) => {
  const page = await open('/try');
  const total = form(page).getByLabel('Total', { exact: true });
  await total.fill('a lot');
  await form(page).getByRole('button', { name: 'Add a product' }).click();
  await form(page).getByRole('button', { name: 'Place the order' }).click();
  await form(page).getByText('Write an amount such as 120.00').waitFor();
  await form(page).getByText('Write a name, or remove the product.').waitFor();
  assert.equal(await total.getAttribute('aria-invalid'), 'true');
  const focused = page.locator(':focus');
  assert.equal(await focused.getAttribute('aria-invalid'), 'true', 'the first fault has the focus');
  assert.equal(await page.getByText(/^Placed as/).count(), 0);
});

holds('what the ingress refuses is said in its words', async ({ open }) => {
  const page = await open('/try');
  const id = newOrderId('twice');
  await form(page).getByLabel('Order id', { exact: true }).fill(id);
  await place(page);
  await form(page).getByRole('button', { name: 'Place the order' }).click();
  const problem = page.getByRole('alert');
  await problem.waitFor();
  assert.match(await problem.innerText(), /exist/i);
});
