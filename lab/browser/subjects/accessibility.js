// Every view for everybody: axe, both themes, narrow and wide screens, reduced motion.

import assert from 'node:assert/strict';

import { until } from '../lab/wait.js';
import { holds } from '../page/case.js';
import { axeFindsNothing, fitsItsWidth, nothingMoves } from '../page/checks.js';
import { preview as previewRedrive, select, untilListed } from '../page/dead-letters.js';
import { preview, runButton } from '../page/replay.js';
import { everyView } from '../page/views.js';

const THEMES = ['light', 'dark'];
const NARROW = { width: 320, height: 640 };

for (const colorScheme of THEMES) {
  holds(`axe finds nothing in any view, ${colorScheme}`, async ({ open }) => {
    for (const { name, path, as, isThere } of await everyView(open)) {
      const page = await open(path, { as, colorScheme });
      await isThere(page);
      await axeFindsNothing(page, `${name}, ${colorScheme}`);
      await page.close();
    }
  }, { minutes: 8 });

  holds(`axe finds nothing while a dialog, a preview or a fault is shown, ${colorScheme}`, async ({ open }) => {
    await everyView(open);
    const letters = await open('/dead-letters', { colorScheme });
    await untilListed(letters, 'unusable-');
    const bar = await select(letters, 'unusable-');
    const panel = await previewRedrive(letters, bar, /^Redrive \d+ dead letters?$/);
    await axeFindsNothing(letters, 'a preview of a redrive');
    await panel.getByRole('button', { name: /^Redrive \d/ }).click();
    await letters.getByRole('dialog').getByRole('button', { name: 'Redrive', exact: true }).click();
    await letters.getByText('Write down why').waitFor();
    await axeFindsNothing(letters, 'a dialog with a fault');

    const replay = await open('/replay', { colorScheme });
    await preview(replay);
    await runButton(replay).click();
    await replay.getByRole('dialog').waitFor();
    await axeFindsNothing(replay, 'the dialog of a replay');

    const order = await open('/try', { colorScheme });
    await order.getByLabel('Total', { exact: true }).fill('a lot');
    await order.getByRole('button', { name: 'Place the order' }).click();
    await order.getByText('Write an amount such as 120.00').waitFor();
    await axeFindsNothing(order, 'a form with faults');

    const login = await open('/login', { as: null, colorScheme });
    await login.getByLabel('Key', { exact: true }).fill('not a key of anybody');
    await login.getByRole('button', { name: 'Sign in' }).click();
    await login.getByRole('alert').waitFor();
    await axeFindsNothing(login, 'a refused key');
  });
}

holds('no view is wider than 320 px, and none leaves its frame at 3,840 px', async ({ open }) => {
  for (const viewport of [NARROW, { width: 3840, height: 2160 }]) {
    for (const { name, path, as, isThere } of await everyView(open)) {
      const page = await open(path, { as, viewport });
      await isThere(page);
      await fitsItsWidth(page, `${name} at ${viewport.width} px`);
      await page.close();
    }
  }
}, { minutes: 8 });

holds('axe finds nothing in any view at 320 px', async ({ open }) => {
  for (const { name, path, as, isThere } of await everyView(open)) {
    const page = await open(path, { as, viewport: NARROW });
    await isThere(page);
    await axeFindsNothing(page, `${name} at 320 px`);
    await page.close();
  }
}, { minutes: 8 });

holds('open panels and dialogs fit 320 px, and axe finds nothing in them', async ({ open }) => {
  await everyView(open);
  const check = async (page, where) => {
    await fitsItsWidth(page, `${where} at 320 px`);
    await axeFindsNothing(page, `${where} at 320 px`);
  };
  const cancel = (page) => page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
  const letters = await open('/dead-letters', { viewport: NARROW });
  await untilListed(letters, 'unusable-');
  const bar = await select(letters, 'unusable-');
  await check(letters, 'a selection of dead letters');
  await bar.getByRole('button', { name: 'Discard …' }).click();
  await letters.getByRole('dialog').waitFor();
  await check(letters, 'the dialog of a discard');
  await cancel(letters);
  const panel = await previewRedrive(letters, bar, /^Redrive \d+ dead letters?$/);
  await check(letters, 'a preview of a redrive');
  await panel.getByRole('button', { name: /^Redrive \d/ }).click();
  await letters.getByRole('dialog').waitFor();
  await check(letters, 'the dialog of a redrive');
  await cancel(letters);

  const replay = await open('/replay', { viewport: NARROW });
  await preview(replay);
  await check(replay, 'a preview of a replay');
  await runButton(replay).click();
  await replay.getByRole('dialog').waitFor();
  await check(replay, 'the dialog of a replay');
}, { minutes: 8 });

holds('nothing moves for somebody who wants no motion', async ({ open }) => {
  for (const { name, path, as, isThere } of await everyView(open)) {
    const page = await open(path, { as, reducedMotion: 'reduce' });
    await nothingMoves(page, `${name} as it begins`);
    await isThere(page);
    await nothingMoves(page, name);
    await page.close();
  }
  const page = await open('/replay', { reducedMotion: 'reduce' });
  await page.getByRole('button', { name: 'Preview', exact: true }).click();
  await page.getByText('Preview: running').waitFor();
  await nothingMoves(page, 'a run that runs');
}, { minutes: 8 });

holds('every view has one heading of the first level and a title of its own', async ({ open }) => {
  const titles = new Set();
  const page = await open('/flow');
  for (const { name, path, as, isThere } of await everyView(open)) {
    if (as !== undefined) continue;
    await page.goto(path);
    await isThere(page);
    assert.equal(await page.getByRole('heading', { level: 1 }).count(), 1, name);
    const title = await page.title();
    assert.match(title, /.+ · checkout$/, name);
    titles.add(title);
  }
  assert.ok(titles.size >= 10, `titles: ${[...titles].join(', ')}`);
}, { minutes: 5 });

holds('numbers that change by themselves are in no live region', async ({ open }) => {
  const page = await open('/flow');
  const status = page.getByRole('status');
  await page.getByText(/^As of /).waitFor();
  const live = await page.evaluate(() => {
    const regions = [...document.querySelectorAll('[aria-live], [role=status], [role=alert], [role=log], output')];
    return regions.map((region) => region.id || region.outerHTML.slice(0, 80));
  });
  assert.deepEqual(live, ['announcements']);
  const times = new Set();
  const said = new Set();
  await until('five updates', async () => {
    said.add(await status.innerText());
    return times.add(await page.getByText(/^As of /).innerText()).size > 5;
  });
  assert.ok(said.size <= 2, `it said ${[...said].join(' | ')}`);
});
