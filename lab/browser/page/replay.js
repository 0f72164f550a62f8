// The words of the replay view, and the steps that several tests take there.

import { hasRow, placeOrders } from '../lab/orders.js';

/** Places a few orders, so that there is something to replay, and waits for their rows. */
export async function newOrders() {
  for (const id of await placeOrders(3)) await hasRow(id);
}

/** Returns the button that runs what was previewed. */
export function runButton(page) {
  return page.getByRole('button', { name: /^Run: issue/ });
}

/** Previews what the form says, and returns the number of vouchers that the preview names. */
export async function preview(page) {
  const isStart = (answer) => answer.request().method() === 'POST' && answer.url().endsWith('/api/runs');
  const [answer] = await Promise.all([
    page.waitForResponse(isStart),
    page.getByRole('button', { name: 'Preview', exact: true }).click(),
  ]);
  const { id } = await answer.json();
  // Until the address names this preview, the page shows the one before.
  await page.waitForURL((address) => address.searchParams.get('preview') === id);
  await page.getByText('Preview: done').waitFor();
  await runButton(page).waitFor();
  const words = await runButton(page).innerText();
  return Number(/issue ([\d,]+) voucher/.exec(words)[1].replaceAll(',', ''));
}

/** Opens the dialog that confirms a run, and fills it in. */
export async function filled(page, vouchers, { why, count = vouchers }) {
  await runButton(page).click();
  const dialog = page.getByRole('dialog', { name: `Issue ${vouchers.toLocaleString('en')} vouchers?` });
  await dialog.getByLabel('Why', { exact: true }).fill(why);
  await dialog.getByLabel(`Type ${vouchers} to confirm`).fill(String(count));
  return dialog;
}
