// A redrive whose broker goes away half way.

import assert from 'node:assert/strict';

import * as kafka from '../lab/kafka.js';
import { lab } from '../lab/lab.js';
import { hasRow, newOrderId, placeOrder } from '../lab/orders.js';
import { avro, nextSchemaIds, registerSchema } from '../lab/registry.js';
import { codesOf } from '../lab/rows.js';
import { holds } from '../page/case.js';
import { confirm, fillRedrive, readAgainUntil } from '../page/dead-letters.js';
import { everyPlaceIs, RECOVERED } from '../page/flow.js';
import { vouchersOf } from '../page/orders.js';

/** Dead letters in one transaction of a redrive: StateWriter::MAX_STATES. */
const TRANSACTION = 500;

holds(
  'a redrive that fails half way says so, keeps what it has committed, and the next one does the rest',
  async ({ open }) => {
    // Two schemas: the redrive is held where it asks for the second one, after its first transaction.
    const [first, second] = await nextSchemaIds(2);
    const id = newOrderId('half');
    const order = { order_id: id, status: 'SENT', total: '150.00' };
    // One key, so that they are in one partition and are read in this order.
    const values = [...Array.from({ length: TRANSACTION + 1 }, () => avro(first, order)), avro(second, order)];
    await kafka.write(values.map((value) => ({ key: id, value })));
    const page = await open('/dead-letters');
    await untilOpen(page, values.length);
    for (const schema of [first, second]) assert.equal(await registerSchema(), schema);

    let panel = await previewAll(page);
    const dialog = await fillRedrive(page, panel, { count: values.length, why: 'the schemas are registered' });
    lab.gates.registry.hold(`/schemas/ids/${second}`);
    try {
      await confirm(dialog, 'Redrive');
      await lab.gates.registry.holds();
      kafka.pause();
      lab.gates.registry.release();
      // A command gives a broker that does not answer half a minute.
      await panel.getByText('Redrive: failed').waitFor({ timeout: 120_000 });
      // What was waited for decides the words: a record, the end of a partition, or an acknowledgement.
      await panel.getByText(/Kafka|broker|the transaction failed/i).first().waitFor();
    } finally {
      lab.gates.registry.release();
      kafka.resume();
    }
    await everyPlaceIs(await open('/flow'), RECOVERED);

    await untilOpen(page, values.length - TRANSACTION);
    panel = await previewAll(page);
    const rest = await fillRedrive(page, panel, { count: values.length - TRANSACTION, why: 'the rest' });
    await confirm(rest, 'Redrive');
    await panel.getByText('Redrive: done').waitFor();
    await hasRow(id);
    // Each dead letter has given one record: the voucher, or an echo of it.
    assert.deepEqual(await vouchersOf(page, id), { all: values.length, own: 1 });
    assert.equal((await codesOf(id)).length, 1);
    await hasRow(await placeOrder());
  },
  { minutes: 6 },
);

/** Reads the list again until so many dead letters of an unknown schema are open. */
async function untilOpen(page, count) {
  const reasons = page.getByRole('table', { name: 'Reasons of the dead letters of the processor' });
  // The first cell is for the selection; the reason is the row's head.
  const shown = reasons.getByRole('row').filter({ hasText: 'unknown_schema' }).getByRole('cell').nth(1);
  await readAgainUntil(page, `${count} open dead letters of unknown_schema`, async () => {
    return (await shown.count()) > 0 && Number(await shown.innerText()) === count;
  });
}

/** Previews a redrive of all of them, and returns its panel. */
async function previewAll(page) {
  const title = 'Redrive all open dead letters of unknown_schema';
  await page.getByRole('button', { name: title }).click();
  const panel = page.getByRole('region', { name: title });
  await panel.getByText('Preview: done').waitFor();
  return panel;
}
