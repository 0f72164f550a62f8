import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import {
  isWhole,
  keyText,
  coveredBy,
  lettersOf,
  listedText,
  offersActions,
  openIds,
  orderOfKey,
  othersOf,
  reasonsOf,
  verdictOfToday,
} from '../assets/models/dead-letters.js';
import { daysInWords, daysOf, partsOf } from '../assets/models/days.js';
import { difference, sum } from '../assets/models/decimals.js';
import { decisionsOf, extentOf, obstacleTo, rowsOf, whatIfOf } from '../assets/models/preview.js';
import {
  EMPTY,
  faultsOf,
  formOf,
  formOfRequest,
  nameFor,
  queryOf,
  requestOf,
  runOf,
} from '../assets/models/replay-form.js';
import {
  canContinue,
  discardRecordedText,
  endingOf,
  mayStop,
  progressOf,
  recordedText,
  shownState,
  stopFromShell,
  titleOf,
} from '../assets/models/run-words.js';
import { reasonAdvice, reasonSentence, skipWords } from '../assets/models/reasons.js';
import { outcomesOf, outcomeText, selectedBy, sumsOf, vouchersOf } from '../assets/models/redriven.js';

test('sums are exact', () => {
  assert.equal(difference('3000.00', '2000.00'), '1000.00');
  assert.equal(difference('0.10', '0.3'), '-0.20');
  assert.equal(difference('99999999999999999999.99', '0.01'), '99999999999999999999.98');
  assert.equal(difference('5', '5'), '0');
  assert.equal(difference('1e3', '1'), null);
  assert.equal(sum(['0.10', '5', '99999999999999999999.95']), '100000000000000000005.05');
  assert.equal(sum([]), '0');
  assert.equal(sum(['1', '1e3']), null);
});

test('every reason of the code has a sentence and advice', () => {
  const source = readFileSync(new URL('../../schemas/src/malformed.rs', import.meta.url), 'utf8');
  const reasons = [...source.matchAll(/^ {4}\w+ = "(\w+)",$/gm)].map(([, reason]) => reason);
  assert.ok(reasons.length > 20, `${reasons.length} reasons were found`);
  for (const reason of reasons) {
    assert.ok(reasonSentence(reason), reason);
    assert.ok(reasonAdvice(reason), reason);
  }
});

test('a reason that nobody knows is no property of an object', () => {
  assert.equal(reasonSentence('constructor'), null);
  assert.equal(skipWords('constructor'), 'constructor');
});

const PREVIEW = {
  eligible_records: 600,
  skipped: { tombstone: 0, status: 200 },
  unusable: { invalid_total: { records: 3, example: { partition: 0, offset: 10 } } },
  vouchers: 600,
  sum: '3000.00',
  currency: 'EUR',
  existing: { new: 200, existing: 400, different: 0 },
  today: { vouchers: 400, sum: '2000.00', more: 200, fewer: 0 },
};

test('a preview says what became of the records', () => {
  const decisions = decisionsOf(PREVIEW).map(({ kind, label, records }) => [kind, label, records]);
  assert.deepEqual(decisions, [
    ['eligible', 'Eligible', 600],
    ['skipped', 'Skipped: not sent', 200],
    ['unusable', 'Unusable: invalid_total', 3],
  ]);
  assert.equal(rowsOf(PREVIEW.existing)[0].vouchers, 200);
  assert.equal(rowsOf(null), null);
  const run = decisionsOf({ voucher_records: 7, unusable: { invalid_total: 3 } });
  assert.deepEqual(
    run.map(({ records }) => records),
    [7, 3],
  );
});

test('a what-if is compared with the rule of today', () => {
  const compared = whatIfOf(PREVIEW);
  assert.equal(compared.both, 400);
  assert.equal(compared.difference, '1000.00');
  assert.equal(whatIfOf({ ...PREVIEW, today: null }), null);
});

function dayOf(day, vouchers, change = {}) {
  return {
    day,
    vouchers,
    sum: `${vouchers * 5}.05`,
    existing: { new: 1, existing: vouchers - 1, different: 0 },
    skipped: { tombstone: 0, status: 2 },
    unusable: {},
    ...change,
  };
}

test('vouchers by day have their money, and the reasons of the other records', () => {
  const byDay = {
    days: [dayOf('2026-05-01', 3), dayOf('2026-05-03', 8, { unusable: { invalid_json: 1234 } })],
    earlier: null,
    undated: dayOf(undefined, 0, { existing: { new: 0, existing: 0, different: 0 } }),
  };
  const days = daysOf(byDay);
  assert.equal(days.period, 'day');
  assert.deepEqual(days.rows[1], {
    label: '2026-05-03',
    vouchers: 8,
    sum: '40.05',
    existing: { new: 1, existing: 7, different: 0 },
    reasons: ['2 skipped: not sent', '1,234 unusable: invalid_json'],
  });
  assert.deepEqual(
    days.others.map(({ label }) => label),
    ['Without a time'],
  );
  assert.equal(daysInWords(days), '2 days with records, in UTC. The most vouchers, 8, are of 2026-05-03.');
  assert.deepEqual(
    partsOf(days.rows[1]).map(({ vouchers }) => vouchers),
    [7, 1, 0],
  );
  assert.deepEqual(partsOf({ vouchers: 3, existing: null }), [{ kind: 'both', vouchers: 3 }]);
});

test('many days become months, and many months years', () => {
  const days = (count) =>
    Array.from({ length: count }, (_, at) => {
      const day = new Date(Date.UTC(2026, 0, 1 + at)).toISOString().slice(0, 10);
      return dayOf(day, 1, { existing: null });
    });
  const shown = (count) => {
    const { period, rows } = daysOf({ days: days(count) });
    assert.equal(
      rows.reduce((all, { vouchers }) => all + vouchers, 0),
      count,
    );
    return [period, rows.length, rows[0].label];
  };
  assert.deepEqual(shown(31), ['day', 31, '2026-01-01']);
  assert.deepEqual(shown(32), ['month', 2, '2026-01']);
  // 2026, 2027 and the first seven months of 2028.
  assert.deepEqual(shown(730 + 213), ['month', 31, '2026-01']);
  assert.deepEqual(shown(730 + 214), ['year', 3, '2026']);
  const [month] = daysOf({ days: days(32) }).rows;
  assert.deepEqual([month.sum, month.existing, month.reasons], ['156.55', null, ['62 skipped: not sent']]);
});

test('a preview without days shows none, and names what is older than they are', () => {
  for (const none of [undefined, null, { days: [], earlier: null, undated: null }]) {
    assert.equal(daysOf(none), null);
  }
  const older = { ...dayOf(undefined, 4), before: '2021-02-03' };
  const { others } = daysOf({ days: [dayOf('2021-02-03', 1)], earlier: older, undated: null });
  assert.deepEqual([others[0].label, others[0].vouchers], ['Before 2021-02-03', 4]);
  const nothing = { period: 'day', rows: [{ label: '2026-05-01', vouchers: 0 }] };
  assert.equal(daysInWords(nothing), '1 day with records, in UTC. No order earns a voucher.');
});

test('what speaks against a run is said before it is started', () => {
  assert.equal(obstacleTo({}, { vouchers: 1 }), null);
  assert.match(obstacleTo({}, { refused: 'another key', vouchers: 1 }), /another key/);
  assert.match(obstacleTo({}, { already_done: true, vouchers: 0 }), /Another name/);
  assert.match(obstacleTo({ rule: { min_total: '80' } }, { vouchers: 1 }), /what-if/);
  assert.equal(obstacleTo({ rule: { min_total: '' } }, { vouchers: 1 }), null);
  assert.match(obstacleTo({}, { vouchers: 0 }), /nothing to issue/);
  assert.match(obstacleTo({ from: '-7d' }, { vouchers: 1 }), /relative to now/);
  assert.equal(obstacleTo({ from: '2026-11-01T00:00:00Z', to: 'latest' }, { vouchers: 1 }), null);
});

test('the extent of a range counts what is read', () => {
  const range = {
    partitions: [
      { from: 0, to: 10 },
      { from: 5, to: 5 },
      { from: 2, to: 4 },
    ],
  };
  assert.deepEqual(extentOf(range), { partitions: 2, offsets: 12 });
  assert.deepEqual(extentOf(undefined), { partitions: 0, offsets: 0 });
});

const REDRIVEN = {
  closed: 3,
  still_open: 2,
  outcomes: { 'failed: unknown_schema': 2, 'skipped: threshold': 1, voucher: 2 },
  sums: { EUR: '10.00' },
};

test('outcomes that close dead letters come first', () => {
  assert.deepEqual(
    outcomesOf(REDRIVEN).map(({ label, letters }) => [label, letters]),
    [
      ['A voucher is issued', 2],
      ['Closed without a voucher: total below the threshold', 1],
      ['Still unusable: unknown_schema', 2],
    ],
  );
  assert.equal(selectedBy(REDRIVEN), 5);
  assert.equal(vouchersOf(REDRIVEN), 2);
  assert.deepEqual(sumsOf(REDRIVEN), [{ currency: 'EUR', sum: '10.00' }]);
  assert.deepEqual(outcomesOf(null), []);
});

test('each outcome is a sentence', () => {
  assert.equal(outcomeText(null), null);
  assert.equal(outcomeText({ outcome: 'row', existed: true }), 'The row existed already.');
  const failed = { outcome: 'failed', reason: 'invalid_total', message: 'no total' };
  assert.equal(outcomeText(failed), 'Tried again in vain, invalid_total: no total');
  assert.equal(outcomeText(failed, 'no total'), 'Tried again in vain, invalid_total, for the same fault.');
  assert.equal(outcomeText({ outcome: 'discarded', note: 'a test' }), 'Discarded: a test');
  assert.equal(outcomeText({ outcome: 'of_tomorrow' }), 'of_tomorrow');
});

const LETTERS = {
  topic: 'order-status.dlq',
  repeats: 2,
  strangers: 0,
  of_other_groups: { spring: 3 },
  reasons: { x: { open: 1, all: 3 }, y: { open: 3, all: 3 } },
  letters: [
    { letter: 'a/0/1', reason: 'x', written: '2026-11-23T09:00:00Z', state: null },
    { letter: 'a/0/2', reason: 'x', written: '2026-11-22T09:00:00Z', state: { outcome: 'discarded' } },
    { letter: 'a/0/3', reason: 'y', written: '2026-11-21T09:00:00Z', state: { outcome: 'failed' } },
    { letter: 'a/0/4', reason: 'y', written: '2026-11-24T09:00:00Z', state: null },
  ],
};

test('reasons have the ages of their open dead letters, and say when more are not listed', () => {
  const [y, x] = reasonsOf(LETTERS);
  assert.deepEqual([y.reason, y.open, y.closed, y.isPartial], ['y', 3, 0, true]);
  assert.deepEqual([y.oldest, y.newest], ['2026-11-21T09:00:00Z', '2026-11-24T09:00:00Z']);
  assert.deepEqual([x.reason, x.open, x.closed, x.isPartial], ['x', 1, 2, false]);
  assert.deepEqual(x.ids, ['a/0/1']);
});

test('dead letters are listed the newest first, all or those of a reason', () => {
  assert.deepEqual(
    lettersOf(LETTERS, null).map(({ letter }) => letter),
    ['a/0/4', 'a/0/1', 'a/0/2', 'a/0/3'],
  );
  assert.deepEqual(openIds(lettersOf(LETTERS, 'x')), ['a/0/1']);
  assert.equal(othersOf(LETTERS).length, 2);
});

test('a list that is not whole says how many it has, of how many', () => {
  assert.equal(listedText({ letters: [1, 2], selected: 2 }), null);
  const part = { letters: Array(500), selected: 1234, open: 400, all: 1234 };
  assert.equal(isWhole(part), false, 'closed ones are listed too');
  assert.equal(listedText(part), 'The newest 500 of 1,234 are listed, all are counted.');
});

test('a selection has its actions unless an open redrive is of just this selection', () => {
  const of = (...ids) => new Set(ids);
  assert.equal(offersActions(of(), null), false, 'nothing is selected');
  assert.equal(offersActions(of('a'), null), true);
  assert.equal(offersActions(of('a', 'b'), of('b', 'a')), false, 'the panel has the buttons');
  assert.equal(offersActions(of('a', 'c'), of('a', 'b')), true, 'another one was selected since');
  assert.equal(offersActions(of('a'), of('a', 'b')), true, 'one was unselected since');
  const ofReason = coveredBy({ service: 'processor', reason: 'invalid_total' });
  assert.equal(offersActions(of('a'), ofReason), true, 'the redrive is of a reason');
  assert.equal(offersActions(of('a'), coveredBy({ service: 'processor', ids: ['a'] })), false);
});

test('a key is an order only when it can be an id', () => {
  assert.equal(orderOfKey({ text: '17' }), '17');
  assert.equal(orderOfKey({ text: '"17"' }), '17');
  assert.equal(orderOfKey({ text: 'a\nb' }), null);
  assert.equal(orderOfKey({ text: 'ä'.repeat(65) }), null);
  assert.equal(orderOfKey({ hex: '00' }), null);
  assert.equal(orderOfKey(null), null);
  assert.deepEqual(
    [keyText(null), keyText({ text: '' }), keyText({ hex: 'ff' })],
    ['null', '(empty)', '0xff'],
  );
});

test('what a redrive would do today is told from its sentence', () => {
  const tone = (today) => verdictOfToday(today).tone;
  assert.equal(tone('eligible: sent'), 'ok');
  assert.equal(tone('a row, unless the database refuses it'), 'ok');
  assert.equal(tone('skipped, threshold: below'), 'muted');
  assert.equal(tone('dead, invalid_json: no'), 'bad');
  assert.equal(tone('failed, original_removed: gone'), 'bad');
  assert.equal(verdictOfToday('skipped, campaign_dates: sent late').message, 'sent late');
});

test('a run is named by what it does', () => {
  assert.equal(titleOf({ kind: 'redrive', service: 'sink', dry_run: true }), 'Preview: redrive of sink');
  assert.equal(titleOf({ kind: 'backfill', service: 'processor', request: { name: 'may' } }), 'Backfill may');
  const done = { kind: 'discard', service: 'sink', state: 'done', summary: 'discarded 1 dead letter' };
  assert.equal(endingOf(done), 'Discard of sink is done. Discarded 1 dead letter.');
});

test('progress is a ratio only when the total is known', () => {
  const progress = { done: 500, total: 1000, per_second: 100 };
  assert.deepEqual(progressOf({ kind: 'backfill', progress }), {
    ratio: 0.5,
    text: '500 of 1,000 offsets, 100 a second, about 5 s left',
  });
  assert.equal(progressOf({ kind: 'redrive', progress: { done: 3, total: null } }).ratio, null);
  assert.equal(progressOf({ kind: 'redrive', progress: null }).ratio, null);
});

test('a viewer stops only previews of their own', () => {
  const run = { state: 'running', dry_run: true, by: 'ann' };
  assert.ok(mayStop(run, { role: 'viewer', name: 'ann' }));
  assert.ok(!mayStop(run, { role: 'viewer', name: 'bob' }));
  assert.ok(!mayStop({ ...run, dry_run: false }, { role: 'viewer', name: 'ann' }));
  assert.ok(mayStop({ ...run, dry_run: false }, { role: 'operator', name: 'bob' }));
  assert.ok(!mayStop({ ...run, state: 'done' }, { role: 'operator', name: 'ann' }));
});

test('the form of a replay is a request, and the last days become a time', () => {
  const now = Date.parse('2026-11-30T12:00:00Z');
  const form = {
    ...EMPTY,
    start: '7d',
    rate: ' 500 ',
    rule: { ...EMPTY.rule, currency: 'eur', valid_days: '30' },
  };
  assert.deepEqual(requestOf(form, now), {
    kind: 'backfill',
    dry_run: true,
    name: null,
    from: '2026-11-23T12:00:00.000Z',
    to: null,
    rule: { currency: 'EUR', valid_days: 30 },
    rate: '500',
  });
  assert.equal(requestOf(EMPTY, now).rule, null);
  const run = runOf(requestOf({ ...form, rule: EMPTY.rule }, now), { name: 'may', why: 'lost' });
  assert.equal(run.dry_run, false);
  assert.equal(run.name, 'may');
  assert.equal(run.from, '2026-11-23T12:00:00.000Z');
  assert.ok(!('rule' in run));
});

test('the form survives its address', () => {
  const query = new URLSearchParams(
    'from=2026-05-01T00:00:00Z&to=2026-06-01T00:00:00Z&min_total=80&name=may',
  );
  const form = formOf(query);
  assert.equal(form.start, 'time');
  const again = queryOf(form);
  for (const [name, value] of query) assert.equal(again[name], value, name);
  assert.equal(queryOf(EMPTY).from, null);
  assert.equal(queryOf(formOf(new URLSearchParams('from=7d'))).from, '7d');
  assert.deepEqual(formOf(new URLSearchParams('from=x&to=y')), EMPTY);
  assert.equal(formOfRequest({ from: null, name: 'may', rule: { valid_days: 30 } }).rule.valid_days, '30');
});

test('what is wrong with a form is said field by field', () => {
  assert.equal(faultsOf(EMPTY).size, 0);
  const wrong = {
    ...EMPTY,
    start: 'time',
    end: 'time',
    endTime: '2026-05-01T00:00',
    name: 'a b',
    rate: '0',
    rule: { ...EMPTY.rule, min_total: '1e3', currency: 'EURO', valid_days: '0', sent_from: 'x' },
  };
  assert.deepEqual([...faultsOf(wrong).keys()].sort(), [
    'currency',
    'min_total',
    'name',
    'rate',
    'sent_from',
    'startTime',
    'valid_days',
  ]);
  const backwards = {
    ...EMPTY,
    start: 'time',
    startTime: '2026-05-02T00:00',
    end: 'time',
    endTime: '2026-05-01T00:00',
  };
  assert.deepEqual([...faultsOf(backwards).keys()], ['endTime']);
});

test('a run without a name gets one that the command takes', () => {
  assert.equal(nameFor(new Date('2026-11-30T08:05:09Z')), 'replay-2026-11-30-080509');
});

test('a stop is what Ctrl-C does, and a backfill has a name to go on under', () => {
  assert.match(stopFromShell({ kind: 'redrive', dry_run: false }), /^In a shell, Ctrl-C .* does the same\.$/);
  assert.match(stopFromShell({ kind: 'backfill', dry_run: false }), /the same --name continues it\.$/);
  assert.doesNotMatch(stopFromShell({ kind: 'backfill', dry_run: true }), /--name/);
});

test('a dialog says where who and why are recorded', () => {
  const session = { audit_topics: { processor: 'audit', sink: null } };
  assert.equal(recordedText(session, 'processor'), 'Recorded in audit with your name, for whoever asks later.');
  for (const [whose, service] of [[session, 'sink'], [null, 'processor']]) {
    assert.match(recordedText(whose, service), /only in the console’s log/);
  }
});

test('the note of a discard is kept in any case, the name only in an audit topic', () => {
  const session = { audit_topics: { processor: 'audit', sink: null } };
  assert.match(discardRecordedText(session, 'processor'), /^The note is kept .* Recorded in audit with your name/);
  assert.equal(
    discardRecordedText(session, 'sink'),
    'The note is kept with each of them. No audit topic is set, so only the console’s log has your name.',
  );
});

test('a backfill that was stopped is paused, other runs are stopped', () => {
  const backfill = { kind: 'backfill', dry_run: false, state: 'stopped' };
  assert.equal(shownState(backfill), 'paused');
  assert.equal(shownState({ ...backfill, dry_run: true }), 'stopped');
  assert.equal(shownState({ ...backfill, kind: 'redrive' }), 'stopped');
  assert.equal(shownState({ ...backfill, state: 'done' }), 'done');
  assert.ok(canContinue({ ...backfill, state: 'failed' }));
});
