// Dead letters that nobody has redriven or discarded are said in the flow for as long as they are open.

import assert from 'node:assert/strict';

import { write } from '../lab/kafka.js';
import { newOrderId } from '../lab/orders.js';
import { holds } from '../page/case.js';
import { section, untilListed } from '../page/dead-letters.js';
import { warnings } from '../page/flow.js';

holds('dead letters that are open are said last in the flow, also after the minute in which they came', async ({ open }) => {
  const id = newOrderId('standing');
  await write([{ key: id, value: `{"order_id":"${id}","status":"LOST","total":1}` }]);
  const list = await open('/dead-letters');
  await untilListed(list, id);
  const page = await open('/flow');
  const line = (words) => warnings(page).getByRole('listitem').filter({ hasText: words });
  const said = /[1-9]\d* dead letters? of the processor (is|are) open/;
  await line(/became (a dead letter|dead letters) in the last minute/).first().waitFor();
  assert.equal(await line(said).count(), 0, 'one line for new and open ones');
  // The minute passes.
  await line(said).waitFor({ timeout: 120_000 });
  assert.match(await warnings(page).getByRole('listitem').last().innerText(), /dead letters? of the (processor|sink) (is|are) open/);
  await line(said).getByRole('link', { name: 'Look at them' }).click();
  await section(page, 'processor').waitFor();
  assert.match(page.url(), /\/dead-letters#processor$/);
}, { minutes: 6 });
