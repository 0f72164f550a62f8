// What a redrive did, or what its preview says that it would do.

import { bars } from '../components/bars.js';
import { dataTable } from '../components/data-table.js';
import { figures } from '../components/figures.js';
import { path } from '../api.js';
import { h } from '../dom.js';
import { money, number, plural } from '../format.js';
import { keyText } from '../models/dead-letters.js';
import { outcomesOf, outcomeText, selectedBy, sumsOf, vouchersOf } from '../models/redriven.js';

/**
 * @param {object} result the JSON of `SERVICE redrive`
 * @param {string} service
 * @returns {HTMLElement}
 */
export function redriveFigures(result, service) {
  const outcomes = outcomesOf(result);
  return h(
    'div',
    { class: 'section' },
    figures(numbers(result, service)),
    outcomes.length > 0
      ? bars({
          caption: 'Dead letters by outcome',
          heads: ['Outcome', 'Dead letters'],
          rows: outcomes.map(({ label, letters, tone }) => ({ label, value: letters, tone })),
        })
      : null,
    existing(result),
    letters(result, service),
  );
}

function numbers(result, service) {
  const would = result.dry_run;
  const sums = sumsOf(result);
  const worth = sums.map(({ currency, sum }) => money(sum, currency)).join(', ');
  return [
    {
      value: number(selectedBy(result)),
      label: selectedLabel(selectedBy(result) === 1, would),
    },
    {
      value: number(vouchersOf(result)),
      label: voucherLabel(service, vouchersOf(result) === 1, would),
      tone: vouchersOf(result) > 0 ? 'ok' : undefined,
      note: vouchersOf(result) > 0 && worth ? worth : null,
    },
    { value: number(result.closed), label: would ? 'would be closed' : 'closed' },
    {
      value: number(result.still_open),
      label: would ? 'would stay open' : 'still open',
      tone: result.still_open > 0 ? 'bad' : undefined,
    },
  ];
}

function selectedLabel(one, would) {
  if (would) return one ? 'dead letter is selected' : 'dead letters are selected';
  return one ? 'dead letter was tried' : 'dead letters were tried';
}

function voucherLabel(service, one, would) {
  const what = `${service === 'sink' ? 'row' : 'voucher'}${one ? '' : 's'}`;
  if (service === 'sink') return would ? `${what} would be written or exist` : `${what} written or existed`;
  return would ? `${what} would be issued` : `${what} ${one ? 'was' : 'were'} issued`;
}

function existing({ existing: rows }) {
  // Without a voucher there is nothing to compare with the table.
  if (!rows || rows.new + rows.existing + rows.different === 0) return null;
  const texts = [`${plural(rows.new, 'has', 'have')} no row yet`];
  if (rows.existing > 0)
    texts.push(`${plural(rows.existing, 'exists', 'exist')} already, and stay as they are`);
  if (rows.different > 0)
    texts.push(`${number(rows.different)} exist with another amount or code, and are kept`);
  return h('p', { class: 'muted' }, `Of these vouchers ${texts.join('; ')}.`);
}

function letters(result, service) {
  const rows = result.letters ?? [];
  if (rows.length === 0) return null;
  const more = selectedBy(result) - rows.length;
  return h(
    'details',
    { class: 'details' },
    h('summary', null, `One by one${more > 0 ? ` (the first ${rows.length})` : ''}`),
    dataTable({
      caption: 'Dead letters with their outcomes',
      rows,
      columns: [
        {
          label: 'Dead letter',
          header: true,
          cell: ({ letter }) =>
            h('a', { class: 'mono', href: path`/dead-letters/${service}/${letter}` }, letter),
        },
        { label: 'Key', cell: ({ key }) => h('span', { class: 'mono' }, keyText(key)) },
        { label: 'Outcome', cell: ({ result: outcome }) => outcomeText(outcome) },
        { label: 'Attempts', numeric: true, cell: ({ attempts }) => number(attempts) },
      ],
    }),
    more > 0
      ? h('p', { class: 'muted small' }, `${plural(more, 'more is', 'more are')} counted above.`)
      : null,
  );
}
