// The vouchers of a preview by day: a chart, and a table with the same numbers.

import { dataTable } from '../components/data-table.js';
import { h, svg } from '../dom.js';
import { money, number } from '../format.js';
import { daysInWords, daysOf, partsOf } from '../models/days.js';

const HEIGHT = 100;
const SLOT = 10;
const GAP = 1;

// A table with at most this many rows is shorter than the chart, so it is shown at once.
const FEW_ROWS = 7;

const KINDS = [
  { kind: 'more', label: 'New' },
  { kind: 'both', label: 'Exist already' },
  { kind: 'fewer', label: 'Exist with another amount or code' },
];

/**
 * @param {object} result the JSON of `processor backfill --dry-run`
 * @returns {HTMLElement|null} null when there is nothing to show
 */
export function byDay(result) {
  if (result.cut?.includes('by_day')) {
    return h('p', { class: 'muted small' }, 'The counts by day were too large for the console. The command shows them.');
  }
  const days = daysOf(result.by_day);
  if (!days) return null;
  const rows = [...days.rows, ...days.others];
  const isCompared = rows[0].existing !== null;
  return h(
    'section',
    { class: 'section' },
    h('h3', null, `Vouchers by ${days.period}`),
    days.rows.length > 1 ? chart(days, isCompared) : null,
    h(
      'details',
      { class: 'details', open: rows.length <= FEW_ROWS },
      h('summary', null, 'As a table'),
      table(days.period, rows, isCompared, result.currency),
    ),
  );
}

function chart(days, isCompared) {
  const { rows } = days;
  const highest = Math.max(1, ...rows.map(({ vouchers }) => vouchers));
  const width = rows.length * SLOT;
  return h(
    'figure',
    { class: 'days' },
    h('figcaption', { class: 'muted small' }, daysInWords(days)),
    svg(
      'svg',
      {
        class: 'days-plot',
        viewBox: `0 0 ${width} ${HEIGHT}`,
        preserveAspectRatio: 'none',
        'aria-hidden': 'true',
        focusable: 'false',
      },
      rows.map((row, at) => column(row, at * SLOT, highest)),
    ),
    h('p', { class: 'days-extent', 'aria-hidden': 'true' }, h('span', null, rows[0].label), h('span', null, rows.at(-1).label)),
    isCompared ? key() : null,
  );
}

function column(row, x, highest) {
  let y = HEIGHT;
  const parts = partsOf(row)
    .filter(({ vouchers }) => vouchers > 0)
    .map(({ kind, vouchers }) => {
      const height = (vouchers / highest) * HEIGHT;
      y -= height;
      return svg('rect', {
        class: `part-${kind}`,
        x: x + GAP,
        y: y.toFixed(2),
        width: SLOT - 2 * GAP,
        height: height.toFixed(2),
      });
    });
  return svg('g', null, svg('title', null, `${row.label}: ${number(row.vouchers)}`), parts);
}

function key() {
  return h(
    'ul',
    { class: 'days-key' },
    KINDS.map(({ kind, label }) =>
      h(
        'li',
        null,
        svg(
          'svg',
          { class: 'days-swatch', viewBox: '0 0 10 10', 'aria-hidden': 'true', focusable: 'false' },
          svg('rect', { class: `part-${kind}`, width: 10, height: 10 }),
        ),
        label,
      ),
    ),
  );
}

function table(period, rows, isCompared, currency) {
  const name = period[0].toUpperCase() + period.slice(1);
  const state = (label, of) => ({ label, numeric: true, cell: ({ existing }) => number(existing[of]) });
  return dataTable({
    caption: `Vouchers by ${period}`,
    columns: [
      { label: `${name} (UTC)`, header: true, cell: ({ label }) => h('span', { class: 'day' }, label) },
      { label: 'Vouchers', numeric: true, cell: ({ vouchers }) => number(vouchers) },
      { label: 'Their sum', numeric: true, cell: ({ sum }) => money(sum, currency) },
      ...(isCompared ? [state('New', 'new'), state('Exist', 'existing'), state('Differ', 'different')] : []),
      { label: 'Records without a voucher', cell: ({ reasons }) => reasons.join(', ') || 'None' },
    ],
    rows,
  });
}
