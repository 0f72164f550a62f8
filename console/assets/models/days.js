// What a preview counts by day, arranged for a page: pure.

import { number, plural } from '../format.js';
import { sum } from './decimals.js';
import { skipWords } from './reasons.js';

// With more rows than these a reader wants longer periods. The command's report does the same.
const MAX_ROWS = 31;

// How much of a date names a period.
const PERIODS = [
  { period: 'day', digits: 'YYYY-MM-DD'.length },
  { period: 'month', digits: 'YYYY-MM'.length },
];
const LONGEST = { period: 'year', digits: 'YYYY'.length };

/**
 * Returns what a preview counts by day, or by month or year where there are too many days; null when it
 * counts nothing.
 *
 * @param {object|undefined} byDay `by_day` of the JSON of `processor backfill --dry-run`
 * @returns {{period: 'day'|'month'|'year', rows: Array<Row>, others: Array<Row>}|null} `rows`: the
 *   earliest first, in UTC; `others`: what is older than the days that are counted apart, and what has no
 *   time. A Row is `{label, vouchers, sum, existing, reasons}`; `existing` is null when no table was asked.
 */
export function daysOf(byDay) {
  const { days = [], earlier = null, undated = null } = byDay ?? {};
  const distinct = (digits) => new Set(days.map(({ day }) => day.slice(0, digits))).size;
  const { period, digits } = PERIODS.find(({ digits }) => distinct(digits) <= MAX_ROWS) ?? LONGEST;
  const groups = new Map();
  for (const counts of days) {
    const label = counts.day.slice(0, digits);
    if (groups.has(label)) groups.get(label).push(counts);
    else groups.set(label, [counts]);
  }
  const rows = [...groups].map(([label, list]) => rowOf(label, list));
  const others = [];
  if (earlier) others.push(rowOf(`Before ${earlier.before}`, [earlier]));
  if (undated) others.push(rowOf('Without a time', [undated]));
  return rows.length + others.length > 0 ? { period, rows, others } : null;
}

/** Returns in words what a chart of the rows shows. */
export function daysInWords({ period, rows }) {
  const most = rows.reduce((most, row) => (row.vouchers > most.vouchers ? row : most));
  const extent = `${plural(rows.length, period, `${period}s`)} with records, in UTC.`;
  if (most.vouchers === 0) return `${extent} No order earns a voucher.`;
  return `${extent} The most vouchers, ${number(most.vouchers)}, are of ${most.label}.`;
}

/** Returns the parts of a row's vouchers, the undermost first. */
export function partsOf({ vouchers, existing }) {
  if (!existing) return [{ kind: 'both', vouchers }];
  return [
    { kind: 'both', vouchers: existing.existing },
    { kind: 'more', vouchers: existing.new },
    { kind: 'fewer', vouchers: existing.different },
  ];
}

function rowOf(label, list) {
  const total = (numberOf) => list.reduce((all, counts) => all + numberOf(counts), 0);
  const states = ['new', 'existing', 'different'];
  return {
    label,
    vouchers: total((counts) => counts.vouchers),
    sum: sum(list.map((counts) => counts.sum)),
    existing: list[0].existing
      ? Object.fromEntries(states.map((state) => [state, total(({ existing }) => existing[state])]))
      : null,
    reasons: reasonsOf(list),
  };
}

/** Returns why records earn no voucher, with their number: "200 skipped: not sent". */
function reasonsOf(list) {
  const reasons = new Map();
  const add = (words, records) => reasons.set(words, (reasons.get(words) ?? 0) + records);
  for (const { skipped, unusable } of list) {
    for (const [reason, records] of Object.entries(skipped)) add(`skipped: ${skipWords(reason)}`, records);
    for (const [reason, records] of Object.entries(unusable)) add(`unusable: ${reason}`, records);
  }
  return [...reasons].filter(([, records]) => records > 0).map(([words, records]) => `${number(records)} ${words}`);
}
