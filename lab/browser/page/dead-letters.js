// The words of the views of dead letters, and the steps that several tests take there.

import { until } from '../lab/wait.js';

const SECTIONS = {
  processor: 'Order statuses that the processor could not use',
  sink: 'Vouchers that the sink could not write',
};

/** Returns the section of a service. */
export function section(page, service) {
  return page.getByRole('region', { name: SECTIONS[service] });
}

/** Returns the list of a service's dead letters. */
export function list(page, service) {
  return section(page, service).getByRole('table', { name: `Dead letters of the ${service}`, exact: true });
}

/** Returns the row of the dead letter of an order, or of every one whose row has these words. */
export function rowOf(page, words, service = 'processor') {
  return list(page, service).getByRole('row').filter({ hasText: words });
}

/** Reads the lists again until a condition holds. */
export async function readAgainUntil(page, what, condition) {
  await until(
    what,
    async () => {
      if (await condition()) return true;
      const answers = Object.keys(SECTIONS).map((service) =>
        page.waitForResponse((response) => response.url().includes(`?service=${service}`)),
      );
      await page.getByRole('button', { name: 'Read again' }).click();
      await Promise.all(answers);
      return false;
    },
    { seconds: 90 },
  );
}

/** Reads the list again until it has `count` rows with these words, and returns them. */
export async function untilListed(page, words, { count = 1, service = 'processor' } = {}) {
  const rows = rowOf(page, words, service);
  await readAgainUntil(page, `${count} dead letters with ${words}`, async () => (await rows.count()) === count);
  return rows;
}

/** Ticks the dead letters with these words, and returns the bar with what can be done. */
export async function select(page, words, service = 'processor') {
  for (const row of await rowOf(page, words, service).all()) await row.getByRole('checkbox').check();
  return section(page, service).getByRole('group', { name: `Selected dead letters of the ${service}` });
}

/** Previews a redrive of what is selected, and returns its panel. */
export async function preview(page, bar, title) {
  await bar.getByRole('button', { name: 'Redrive …' }).click();
  const panel = page.getByRole('region', { name: title });
  await panel.getByText('Preview: done').waitFor();
  return panel;
}

/** Fills in the dialog that confirms a redrive, and leaves it open. */
export async function fillRedrive(page, panel, { count, why }) {
  const what = count === 1 ? '1 dead letter' : `${count} dead letters`;
  await panel.getByRole('button', { name: `Redrive ${what} …` }).click();
  const dialog = page.getByRole('dialog', { name: `Redrive ${what}?` });
  await dialog.getByLabel('Why', { exact: true }).fill(why);
  if (count > 1) await dialog.getByLabel(`Type ${count} to confirm`).fill(String(count));
  return dialog;
}

/** Confirms a dialog, and waits until it is closed. */
export async function confirm(dialog, name) {
  await dialog.getByRole('button', { name, exact: true }).click();
  await dialog.waitFor({ state: 'detached' });
}
