// A page that is open for a day: as many updates as it gets in one, at once.

import assert from 'node:assert/strict';

import { Firehose } from '../lab/firehose.js';
import { until } from '../lab/wait.js';
import { holds } from '../page/case.js';
import { devtoolsOf, held } from '../page/memory.js';
import { hasEveryView } from '../page/views.js';

/** One update a second. */
const DAY = 24 * 60 * 60;
/** The charts are full, every element is there and the code is compiled before anything is compared. */
const WARMING = 5000;
/** 25 bytes for each update. The histories that the page keeps are bounded. */
const MAX_GROWTH = 2 * 1024 * 1024;

holds('a page that is open for a day does not grow', async ({ open, note }) => {
  const firehose = new Firehose();
  await firehose.start();
  try {
    const page = await open('/flow', { at: firehose.url });
    await page.getByText('Live', { exact: true }).first().waitFor();
    await hasEveryView(page);
    await until('a flow to send on', () => firehose.hasPage);
    await page.evaluate(deliverEachUpdate);
    const shows = (update) =>
      page.getByRole('group', { name: 'The path of an order' }).getByRole('button', { name: `${update} updates` });
    await shows(await firehose.drip(WARMING)).first().waitFor();
    const devtools = await devtoolsOf(page);
    const before = await held(devtools);
    await shows(await firehose.drip(DAY - WARMING)).first().waitFor();
    const after = await held(devtools);
    const delivered = await page.evaluate(() => window.delivered);
    note(`${DAY} updates, shown ${delivered} times: before ${JSON.stringify(before)}, after ${JSON.stringify(after)}`);
    assert.ok(after.nodes <= before.nodes * 1.05, `${before.nodes} nodes have become ${after.nodes}`);
    assert.ok(after.listeners <= before.listeners, `${before.listeners} listeners have become ${after.listeners}`);
    assert.ok(after.heap - before.heap <= MAX_GROWTH, `${before.heap} bytes have become ${after.heap}`);
  } finally {
    firehose.stop();
  }
}, { minutes: 15 });

// Runs in the page. It shows at most one update in a frame, which at this speed would be few of them: what
// each costs when it is shown would be counted for a fraction.
function deliverEachUpdate() {
  window.delivered = 0;
  window.requestAnimationFrame = (callback) =>
    setTimeout(() => {
      window.delivered += 1;
      callback(performance.now());
    });
  window.cancelAnimationFrame = (handle) => clearTimeout(handle);
}
