// However much happens at the source, a page repaints once a frame and does not grow.

import assert from 'node:assert/strict';

import { Firehose } from '../lab/firehose.js';
import { until } from '../lab/wait.js';
import { holds } from '../page/case.js';
import { devtoolsOf, held } from '../page/memory.js';
import { everyView, hasEveryView } from '../page/views.js';

const UPDATES = 1000;
/** Between two bursts the page may collect what it no longer needs. */
const BURSTS = 5;

holds('1,000 updates a second are at most one repaint a frame, and the page does not grow', async ({ open, note }) => {
  const firehose = new Firehose();
  await firehose.start();
  try {
    const page = await open('/flow', { at: firehose.url });
    await page.getByText('Live', { exact: true }).first().waitFor();
    await hasEveryView(page);
    await until('a flow to send on', () => firehose.hasPage);
    const shows = (update) =>
      page.getByRole('group', { name: 'The path of an order' }).getByRole('button', { name: `${update} updates` });
    // The charts are full and every element is there before anything is compared.
    await shows(await firehose.send(UPDATES)).first().waitFor();
    const devtools = await devtoolsOf(page);
    const before = await held(devtools);
    await page.evaluate(() => {
      const counted = { frames: 0, changes: 0 };
      window.counted = counted;
      const frame = () => {
        counted.frames += 1;
        requestAnimationFrame(frame);
      };
      requestAnimationFrame(frame);
      const observer = new MutationObserver(() => {
        counted.changes += 1;
      });
      const main = document.querySelector('main');
      observer.observe(main, { subtree: true, childList: true, characterData: true, attributes: true });
    });
    const elements = () => page.evaluate(() => document.querySelectorAll('*').length);
    const count = await elements();
    for (let burst = 0; burst < BURSTS; burst += 1) await shows(await firehose.send(UPDATES)).first().waitFor();
    const { frames, changes } = await page.evaluate(() => window.counted);
    note(`${BURSTS * UPDATES} updates: ${changes} repaints in ${frames} frames`);
    assert.ok(changes <= frames + 1, `${changes} changes of the page in ${frames} frames`);
    assert.equal(await elements(), count, 'as many elements as before');
    const after = await held(devtools);
    note(`before ${JSON.stringify(before)}, after ${JSON.stringify(after)}`);
    assert.ok(after.nodes <= before.nodes * 1.05, `${before.nodes} nodes have become ${after.nodes}`);
    assert.ok(after.listeners <= before.listeners, `${before.listeners} listeners have become ${after.listeners}`);
    assert.ok(after.heap <= before.heap * 1.25, `${before.heap} bytes have become ${after.heap}`);
  } finally {
    firehose.stop();
  }
});

holds('a page whose reader goes from view to view does not grow', async ({ open, note }) => {
  await everyView(open);
  const page = await open('/flow');
  const round = async () => {
    for (const name of ['Try', 'Orders', 'Dead letters', 'Replay', 'Runs', 'Flow']) {
      await page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name, exact: true }).click();
      await page.getByRole('heading', { level: 1, name, exact: true }).waitFor();
    }
  };
  const devtools = await devtoolsOf(page);
  for (let warming = 0; warming < 3; warming += 1) await round();
  const before = await held(devtools);
  const rounds = 10;
  for (let at = 0; at < rounds; at += 1) await round();
  const after = await held(devtools);
  note(`${rounds} rounds: before ${JSON.stringify(before)}, after ${JSON.stringify(after)}`);
  // A view that was kept would be one for each round.
  assert.ok(after.nodes <= before.nodes * 1.3, `${before.nodes} nodes have become ${after.nodes}`);
  assert.ok(after.listeners <= before.listeners * 1.3, `${before.listeners} listeners have become ${after.listeners}`);
}, { minutes: 5 });
