// The pictures of the README: docs/images. Not a test; `run --images` writes them.

import assert from 'node:assert/strict';
import { mkdir, stat } from 'node:fs/promises';
import path from 'node:path';

import { ROOT } from '../lab/environment.js';
import { write } from '../lab/kafka.js';
import { keepPlacing, newOrderId } from '../lab/orders.js';
import { avro, nextSchemaIds, registerSchema } from '../lab/registry.js';
import { until } from '../lab/wait.js';
import { holds } from '../page/case.js';
import { preview, select, untilListed } from '../page/dead-letters.js';

const FOLDER = path.join(ROOT, 'docs/images');
const MAX_BYTES = 150 * 1024;

async function draw(page, name) {
  await mkdir(FOLDER, { recursive: true });
  const file = path.join(FOLDER, `console-${name}.png`);
  await page.screenshot({ path: file, animations: 'disabled' });
  const { size } = await stat(file);
  assert.ok(size < MAX_BYTES, `${file} has ${size} bytes`);
}

holds('the pictures of the README are drawn', async ({ open, note }) => {
  const [schema] = await nextSchemaIds(1);
  const letters = Array.from({ length: 3 }, () => newOrderId('shop'));
  await write([
    ...letters.map((id) => ({ key: id, value: avro(schema, { order_id: id, status: 'SENT', total: '150.00' }) })),
    { key: 'shop-19', value: '{"order_id":"shop-19","status":"SHIPPED","total":"120.00"}' },
  ]);
  const end = new AbortController();
  const placing = keepPlacing(end.signal);
  try {
    const look = { viewport: { width: 1280, height: 760 }, colorScheme: 'light' };
    const flow = await open('/flow', look);
    // Half a minute of charts is enough to see what they are.
    const seconds = new Set();
    await until('30 updates', async () => seconds.add(await flow.getByText(/^As of /).innerText()).size > 30);
    await draw(flow, 'flow');
  } finally {
    end.abort();
    await placing;
  }
  const order = await open('/try', { viewport: { width: 1280, height: 860 }, colorScheme: 'light' });
  await order.getByRole('button', { name: 'Place the order' }).click();
  await order.getByRole('main').getByText('The voucher is in Postgres.').waitFor();
  await draw(order, 'order');

  const page = await open('/dead-letters', { viewport: { width: 1280, height: 860 }, colorScheme: 'light' });
  await untilListed(page, 'unknown_schema', { count: letters.length });
  assert.equal(await registerSchema(), schema);
  await preview(page, await select(page, 'unknown_schema'), 'Redrive 3 dead letters');
  await page.getByRole('heading', { level: 1 }).scrollIntoViewIfNeeded();
  await draw(page, 'redrive');
  note(`written to ${FOLDER}`);
}, { minutes: 5 });
