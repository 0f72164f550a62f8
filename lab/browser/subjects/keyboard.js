// Everything can be done with the keyboard alone.

import assert from 'node:assert/strict';

import { write } from '../lab/kafka.js';
import { newOrderId } from '../lab/orders.js';
import { holds } from '../page/case.js';
import { untilListed } from '../page/dead-letters.js';
import { openPlace, place } from '../page/flow.js';

/** Presses Tab until the focus is on an element of this role and name, as a person does. */
async function tabTo(page, role, name, { key = 'Tab', most = 120 } = {}) {
  const wanted = page.getByRole(role, { name }).first();
  await wanted.waitFor();
  for (let presses = 0; presses < most; presses += 1) {
    if (await wanted.evaluate((element) => element === document.activeElement)) return wanted;
    await page.keyboard.press(key);
    await hasVisibleFocus(page);
  }
  throw new Error(`${most} presses of ${key} do not lead to the ${role} ${name}`);
}

/** Fails when nobody could see where the focus is. */
async function hasVisibleFocus(page) {
  const seen = await page.evaluate(() => {
    const element = document.activeElement;
    if (!element || element === document.body) return { isSeen: true };
    const style = getComputedStyle(element);
    const box = element.getBoundingClientRect();
    const isMarked = (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== 'none';
    // A checkbox or a field may be marked by what is around it.
    const isAround = element.parentElement?.matches(':focus-within') && getComputedStyle(element.parentElement).outlineStyle !== 'none';
    // Not below a header that stays at the top: something of it must be hit by a click.
    const x = Math.min(Math.max(box.left + box.width / 2, 0), innerWidth - 1);
    const y = Math.min(Math.max(box.top + Math.min(box.height / 2, 12), 0), innerHeight - 1);
    const top = document.elementFromPoint(x, y);
    const isInFront = top !== null && (element.contains(top) || top.contains(element));
    return { isSeen: (isMarked || isAround) && isInFront, isMarked, isInFront, what: element.outerHTML.slice(0, 160) };
  });
  assert.ok(seen.isSeen, `the focus is not seen: ${JSON.stringify(seen)}`);
}

holds('the first key leads past the header, and a view begins at its heading', async ({ open }) => {
  const page = await open('/flow');
  await page.getByRole('heading', { level: 1, name: 'Flow' }).waitFor();
  await page.keyboard.press('Tab');
  const skip = page.getByRole('link', { name: 'Skip to the content' });
  assert.ok(await skip.evaluate((element) => element === document.activeElement));
  await hasVisibleFocus(page);
  await page.keyboard.press('Enter');
  const main = page.getByRole('main');
  assert.ok(await main.evaluate((element) => element.contains(document.activeElement)));
  await tabTo(page, 'link', 'Runs', { key: 'Shift+Tab' });
  await page.keyboard.press('Enter');
  const heading = page.getByRole('heading', { level: 1, name: 'Runs' });
  await heading.waitFor();
  assert.ok(await heading.evaluate((element) => element === document.activeElement), 'the focus is on the heading');
  assert.equal(await page.getByRole('link', { name: 'Runs', exact: true }).getAttribute('aria-current'), 'page');
});

holds('a link to a part of a view leads to that part, from there and from another view', async ({ open }) => {
  const page = await open('/dead-letters');
  const part = page.locator('section#sink');
  const isFocused = () => part.evaluate((element) => element === document.activeElement);
  await tabTo(page, 'link', 'Dead letters of the sink');
  await page.keyboard.press('Enter');
  assert.ok(await isFocused(), 'the focus is on the part');
  await page.getByRole('link', { name: 'Flow', exact: true }).click();
  await place(page, 'vouchers.dlq', '').click();
  await openPlace(page).getByRole('link', { name: 'Look at them' }).click();
  await page.waitForFunction(() => document.activeElement.id === 'sink');
  assert.ok(page.url().endsWith('/dead-letters#sink'), page.url());
});

holds('a place of the flow is opened and closed, and the focus comes back', async ({ open }) => {
  const page = await open('/flow');
  const sink = await tabTo(page, 'button', /^Sink/);
  await page.keyboard.press('Enter');
  await openPlace(page).getByRole('heading', { name: 'Sink' }).waitFor();
  assert.equal(await sink.getAttribute('aria-expanded'), 'true');
  await tabTo(page, 'button', 'Close Sink');
  await page.keyboard.press('Enter');
  await openPlace(page).waitFor({ state: 'hidden' });
  assert.ok(await sink.evaluate((element) => element === document.activeElement), 'the focus is where it was');
});

holds('an order is placed and followed', async ({ open }) => {
  const page = await open('/try');
  await tabTo(page, 'textbox', 'Order id');
  const id = newOrderId('keys');
  await page.keyboard.type(id);
  await page.keyboard.press('Enter');
  await page.getByRole('main').getByText('The voucher is in Postgres.').waitFor();
  await tabTo(page, 'link', 'Explain this order');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: `Order ${id}` }).waitFor();
});

holds('a dead letter is found, previewed and discarded, and a dialog keeps the focus', async ({ open }) => {
  const id = newOrderId('keys');
  await write([{ key: id, value: `{"order_id":"${id}","status":"SENT","total":"much"}` }]);
  const page = await open('/dead-letters');
  const row = await untilListed(page, id);
  const letter = await row.getByRole('link', { name: /^order-status\// }).innerText();
  await tabTo(page, 'checkbox', `Select ${letter}`);
  await page.keyboard.press('Space');
  await tabTo(page, 'button', 'Redrive …');
  await page.keyboard.press('Enter');
  const panel = page.getByRole('region', { name: 'Redrive 1 dead letter' });
  await panel.getByText('Preview: done').waitFor();
  await tabTo(page, 'button', 'Redrive 1 dead letter …');
  await page.keyboard.press('Enter');
  const dialog = page.getByRole('dialog', { name: 'Redrive 1 dead letter?' });
  await dialog.waitFor();
  for (let presses = 0; presses < 12; presses += 1) {
    await page.keyboard.press('Tab');
    const isWithin = await dialog.evaluate((element) => {
      // Behind the last button is the browser's own interface, which has the focus then.
      return document.activeElement === document.body || element.contains(document.activeElement);
    });
    assert.ok(isWithin, 'the focus stays in the dialog');
  }
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  assert.equal(await page.getByText('Redrive: ').count(), 0, 'Escape starts nothing');
  const opener = page.getByRole('button', { name: 'Redrive 1 dead letter …' });
  assert.ok(await opener.evaluate((element) => element === document.activeElement), 'the focus is where it was');

  // The bar of what is selected makes room for an open redrive.
  await tabTo(page, 'button', /^Close$/, { key: 'Shift+Tab' });
  await page.keyboard.press('Enter');
  await panel.waitFor({ state: 'detached' });
  await tabTo(page, 'button', 'Discard …');
  await page.keyboard.press('Enter');
  await page.getByRole('dialog', { name: 'Discard 1 dead letter?' }).waitFor();
  await page.keyboard.type('much is no number');
  await page.keyboard.press('Enter');
  await page.getByText('Discard: done').waitFor();
});

holds('a replay is previewed, and its dialog refuses what is not the count', async ({ open }) => {
  const page = await open('/replay');
  await tabTo(page, 'button', 'Preview');
  await page.keyboard.press('Enter');
  await page.getByText('Preview: done').waitFor();
  const run = await tabTo(page, 'button', /^Run: issue/);
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  await page.keyboard.type('by keys');
  await page.keyboard.press('Tab');
  await page.keyboard.type('0');
  await page.keyboard.press('Enter');
  await page.getByText(/^Type [\d,]+, the number that the preview names\.$/).waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  assert.ok(await run.evaluate((element) => element === document.activeElement), 'the focus is where it was');
});

holds('on a narrow screen the menu opens, leads on, and Escape closes it', async ({ open }) => {
  const page = await open('/flow', { viewport: { width: 320, height: 640 } });
  const menu = await tabTo(page, 'button', 'Menu');
  await page.keyboard.press('Enter');
  assert.equal(await menu.getAttribute('aria-expanded'), 'true');
  await page.keyboard.press('Escape');
  assert.equal(await menu.getAttribute('aria-expanded'), 'false');
  assert.ok(await menu.evaluate((element) => element === document.activeElement), 'the focus is on the button');
  await page.keyboard.press('Enter');
  await tabTo(page, 'link', 'Replay', { key: 'Shift+Tab' });
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: 'Replay' }).waitFor();
  assert.equal(await menu.getAttribute('aria-expanded'), 'false');
});
