// The words of the flow view.

import { until } from '../lab/wait.js';

/** The places of the path, as the page names them. */
export const PLACES = [
  'Ingress',
  'Outbox',
  'order-status',
  'Processor',
  'order-status.dlq',
  'vouchers',
  'Sink',
  'vouchers.dlq',
  'Postgres',
];

/** Returns the card of a place while it is in this state, such as "Ready". */
export function place(page, name, state) {
  const words = name.replaceAll('.', '\\.');
  const drawing = page.getByRole('group', { name: 'The path of an order' });
  return drawing.getByRole('button', { name: new RegExp(`^${words}\\s*${state}\\b`) });
}

/** What a place may be after an outage: dead letters of the last minute are worth a look. */
export const RECOVERED = '(?:Ready|Degraded)';

/** How long the broker may take to lead its partitions again after it was paused. */
const RECOVERY_MILLIS = 180_000;

/** Waits until every place of the path is in this state. */
export async function everyPlaceIs(page, state) {
  for (const name of PLACES) await place(page, name, state).waitFor({ timeout: RECOVERY_MILLIS });
}

/** Returns the strip with what is wrong. */
export function warnings(page) {
  return page.getByRole('region', { name: 'What is wrong' });
}

/** Waits until nothing is wrong; dead letters of an earlier run may be open. */
export async function nothingIsWrong(page) {
  const isCalm = (text) => /dead letters? of the (?:processor|sink) (?:is|are) open/.test(text);
  await until('nothing to be wrong', async () => {
    const lines = await warnings(page).getByRole('listitem').allInnerTexts();
    return (await warnings(page).getByText('Nothing is wrong').count()) > 0 || (lines.length > 0 && lines.every(isCalm));
  });
}

/** Returns the worst warning, once it says this. */
export function worst(page, words) {
  return warnings(page).getByRole('listitem').first().filter({ hasText: words });
}

/** Returns the panel of the place that is open. */
export function openPlace(page) {
  return page.getByRole('region', { name: 'The open node' });
}
