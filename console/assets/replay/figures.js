// What a backfill did, or what its preview says that it would do.

import { bars } from '../components/bars.js';
import { callout } from '../components/callout.js';
import { figures } from '../components/figures.js';
import { timeElement } from '../components/time.js';
import { path } from '../api.js';
import { h } from '../dom.js';
import { money, number, plural, seconds } from '../format.js';
import { sentence } from '../models/order-story.js';
import { decisionsOf, extentOf, rowsOf, whatIfOf } from '../models/preview.js';
import { reasonSentence } from '../models/reasons.js';
import { byDay } from './by-day.js';
import { whatIfPicture } from './what-if.js';

const TONES = { eligible: 'ok', skipped: 'muted', unusable: 'bad' };
const ROW_TONES = { new: 'ok', existing: 'muted', different: 'bad' };

/**
 * @param {object} result the JSON of `processor backfill`
 * @returns {HTMLElement}
 */
export function backfillFigures(result) {
  if (result.already_done) return alreadyDone(result);
  const isPreview = result.dry_run === true;
  const compared = whatIfOf(result);
  return h(
    'div',
    { class: 'section' },
    result.refused
      ? callout({ tone: 'bad', title: 'The run would be refused', text: sentence(result.refused), level: 3 })
      : null,
    result.resumed
      ? callout({
          tone: 'info',
          text: 'This is the rest of a run that was interrupted: what it had done is not counted here.',
        })
      : null,
    figures(isPreview ? previewNumbers(result) : runNumbers(result)),
    compared ? whatIfPicture(compared) : null,
    h('div', { class: 'columns' }, decisions(result), isPreview ? rows(result) : null),
    isPreview ? byDay(result) : null,
    rangeNote(result),
  );
}

function previewNumbers(result) {
  return [
    {
      value: number(result.vouchers),
      label: 'vouchers to issue',
      tone: 'ok',
      note: result.existing ? 'one for each eligible order, with or without a row' : 'one for each eligible order',
    },
    { value: money(result.sum, result.currency), label: 'their sum' },
    result.existing
      ? {
          value: number(result.existing.new),
          label: 'are new',
          note: `${money(result.existing.new_sum, result.currency)}; ${number(result.existing.existing)} exist already`,
        }
      : null,
    { value: number(result.records), label: 'records read', note: leftOut(result) },
  ];
}

function runNumbers(result) {
  return [
    {
      value: number(result.voucher_records),
      label: 'voucher records written',
      tone: 'ok',
      note: 'a second one of an order is an echo, and no second row',
    },
    { value: number(result.records), label: 'records read', note: leftOut(result) },
    { value: number(result.dead_letters_written), label: 'dead letters written' },
    {
      value: result.complete ? 'reached' : 'not reached',
      label: 'the end of the range',
      tone: result.complete ? 'ok' : 'warn',
      note: `after ${seconds(result.seconds)}`,
    },
  ];
}

function leftOut({ left_out: count }) {
  return count > 0 ? `${number(count)} of other times left out` : null;
}

function decisions(result) {
  const list = decisionsOf(result);
  return h(
    'div',
    { class: 'section' },
    h('h3', null, 'Records by decision'),
    bars({
      caption: 'Records by decision',
      heads: ['Decision', 'Records'],
      rows: list.map(({ kind, reason, label, records, example }) => ({
        label,
        value: records,
        tone: TONES[kind],
        note: kind === 'unusable' ? unusableNote(reason, example) : null,
      })),
    }),
  );
}

function unusableNote(reason, example) {
  if (!example) return reasonSentence(reason);
  const id = `${example.topic}/${example.partition}/${example.offset}`;
  return [
    'Such as ',
    h('a', { class: 'mono', href: path`/dead-letters/processor/${id}` }, id),
    `: ${sentence(example.message)}`,
  ];
}

function rows({ existing, vouchers }) {
  const list = rowsOf(existing);
  if (list === null) {
    return h(
      'div',
      { class: 'section' },
      h('h3', null, 'Compared with the table'),
      h(
        'p',
        { class: 'muted' },
        'Not compared. Start the console with DATABASE_URL, the sink’s database, to see which of the vouchers are rows already.',
      ),
    );
  }
  return h(
    'div',
    { class: 'section' },
    h('h3', null, 'Compared with the table'),
    bars({
      caption: 'Vouchers by whether they have a row',
      heads: ['State', 'Vouchers'],
      whole: vouchers,
      rows: list.map(({ state, label, vouchers: value }) => ({ label, value, tone: ROW_TONES[state] })),
    }),
    existing.codes_compared
      ? null
      : h('p', { class: 'muted small' }, 'Codes were not compared, because no signing key is set.'),
  );
}

function rangeNote({ range }) {
  const { partitions, offsets } = extentOf(range);
  const from = range.times_from ? [' from ', timeElement(range.times_from)] : null;
  const to = range.times_to ? [' until ', timeElement(range.times_to)] : null;
  return h(
    'p',
    { class: 'muted small' },
    `Range: ${plural(offsets, 'offset', 'offsets')} of ${plural(partitions, 'partition', 'partitions')} of ${range.topic}`,
    from,
    to,
    '.',
  );
}

function alreadyDone(result) {
  return callout({
    tone: 'info',
    title: 'This was done before',
    text: [
      `A backfill named ${result.name} of this range, rule and keys has ended`,
      result.done_at ? [', ', timeElement(result.done_at)] : null,
      '. Nothing is read or written. Another name does it again.',
    ],
    level: 3,
  });
}
