// A backend is away: the page says so first, what can go on goes on, and nothing is lost.

import assert from 'node:assert/strict';

import { lab } from '../lab/lab.js';
import * as kafka from '../lab/kafka.js';
import { hasRow, newOrderId, placeOrder } from '../lab/orders.js';
import { avro, nextSchemaIds, registerSchema } from '../lab/registry.js';
import { codesOf } from '../lab/rows.js';
import { holds } from '../page/case.js';
import { everyPlaceIs, openPlace, place, RECOVERED, warnings, worst } from '../page/flow.js';

const AWAY = '(?:Not ready|Degraded)';
const placed = (page) => page.getByText(/^Placed as .*: 201 after/);

holds('while Postgres is away it is named first, no order is accepted, and all goes on afterwards', async ({ open, note }) => {
  const before = await placeOrder();
  await hasRow(before);
  const page = await open('/flow');
  await everyPlaceIs(page, RECOVERED);
  const { orders, vouchers } = lab.gates;
  await Promise.all([orders.close(), vouchers.close()]);
  try {
    await place(page, 'Postgres', AWAY).waitFor();
    await place(page, 'Outbox', AWAY).waitFor();
    const warning = worst(page, /Postgres does not answer/);
    await warning.waitFor();
    await warning.getByRole('button', { name: /^Open / }).click();
    await openPlace(page).getByText(/Postgres|database/).first().waitFor();

    const order = await open(`/orders/${before}`);
    await order.getByRole('heading', { name: 'Not looked at' }).waitFor();
    const replay = await open('/replay');
    const asked = Date.now();
    await replay.getByRole('button', { name: 'Preview', exact: true }).click();
    await replay.getByText(/cannot connect to Postgres/).first().waitFor();
    const took = Date.now() - asked;
    note(`a preview said that Postgres is away after ${took} ms`);
    // Most of that is Kafka's: the refused connection itself is no wait.
    assert.ok(took < 8000, `a preview without Postgres took ${took} ms to say so`);
    const form = await open('/try');
    await form.getByRole('button', { name: 'Place the order' }).click();
    const problem = form.getByRole('alert');
    await problem.waitFor();
    assert.match(await problem.innerText(), /database|Postgres|again/i);
    assert.equal(await placed(form).count(), 0);
  } finally {
    await Promise.all([orders.open(), vouchers.open()]);
  }
  await everyPlaceIs(page, RECOVERED);
  await warnings(page).getByText(/Postgres does not answer/).waitFor({ state: 'detached' });
  const form = await open('/try');
  await form.getByRole('button', { name: 'Place the order' }).click();
  await form.getByRole('main').getByText('The voucher is in Postgres.').waitFor();
}, { minutes: 6 });

holds('while Kafka is away it is named first, orders are accepted, and they arrive afterwards', async ({ open }) => {
  const page = await open('/flow');
  await everyPlaceIs(page, RECOVERED);
  const form = await open('/try');
  await form.getByLabel('Order id', { exact: true }).fill(newOrderId('meanwhile'));
  const id = await form.getByLabel('Order id', { exact: true }).inputValue();
  kafka.pause();
  try {
    await place(page, 'order-status', AWAY).waitFor();
    await place(page, 'Processor', AWAY).waitFor();
    await worst(page, /^Critical\s*Kafka at .* does not answer/).waitFor();
    await form.getByRole('button', { name: 'Place the order' }).click();
    await placed(form).waitFor();
    await form.getByText(/^Set to SENT: 200 after/).waitFor();
    assert.deepEqual(await codesOf(id), []);

    // A question that needs Kafka is answered by why there is no answer.
    const letters = await open('/dead-letters');
    const problem = letters.getByRole('alert').first();
    await problem.waitFor({ timeout: 90_000 });
    assert.match(await problem.innerText(), /Kafka|broker/i);
    await problem.getByRole('button', { name: 'Try again' }).waitFor();
  } finally {
    kafka.resume();
  }
  await everyPlaceIs(page, RECOVERED);
  await warnings(page).getByText(/^Kafka at/).waitFor({ state: 'detached' });
  await hasRow(id);
  await form.getByRole('main').getByText('The voucher is in Postgres.').waitFor();
}, { minutes: 8 });

holds('while the registry is away an order of a new schema waits, and the page says for what', async ({ open }) => {
  const page = await open('/flow');
  await everyPlaceIs(page, RECOVERED);
  const [schema] = await nextSchemaIds(1);
  assert.equal(await registerSchema(), schema);
  const id = newOrderId('schema');
  await lab.gates.registry.close();
  try {
    // Schemas that are known need no registry.
    await hasRow(await placeOrder());
    await kafka.write([{ key: id, value: avro(schema, { order_id: id, status: 'SENT', total: '150.00' }) }]);
    await place(page, 'Processor', 'Not ready').waitFor();
    await worst(page, /registry/i).waitFor();
    assert.deepEqual(await codesOf(id), []);
  } finally {
    await lab.gates.registry.open();
  }
  await hasRow(id);
  await everyPlaceIs(page, RECOVERED);
}, { minutes: 6 });

holds('while the ingress is away an order is not placed, and the page says that it cannot be reached', async ({ open }) => {
  const page = await open('/try');
  await lab.producer.kill();
  try {
    await page.getByRole('button', { name: 'Place the order' }).click();
    await page.getByRole('alert').filter({ hasText: /ingress cannot be reached/i }).waitFor();
    const flow = await open('/flow');
    await worst(flow, 'The ingress cannot be reached').waitFor();
  } finally {
    await lab.producer.start();
  }
  await page.getByRole('button', { name: 'Place the order' }).click();
  await page.getByRole('main').getByText('The voucher is in Postgres.').waitFor();
});
