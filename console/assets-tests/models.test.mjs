import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { difference } from '../assets/models/decimals.js';
import { decisive, extentText, inOrderOfTime, sentence, storyOf } from '../assets/models/order-story.js';
import { decisionsOf, extentOf, obstacleTo, rowsOf, whatIfOf } from '../assets/models/preview.js';
import { reasonAdvice, reasonSentence, skipWords } from '../assets/models/reasons.js';
import { outcomesOf, resolutionText, selectedBy, sumsOf, vouchersOf } from '../assets/models/redriven.js';

test('sums are exact', () => {
  assert.equal(difference('3000.00', '2000.00'), '1000.00');
  assert.equal(difference('0.10', '0.3'), '-0.20');
  assert.equal(difference('99999999999999999999.99', '0.01'), '99999999999999999999.98');
  assert.equal(difference('5', '5'), '0');
  assert.equal(difference('1e3', '1'), null);
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

test('what speaks against a run is said before it is started', () => {
  assert.equal(obstacleTo({}, { vouchers: 1 }), null);
  assert.match(obstacleTo({}, { refused: 'another key', vouchers: 1 }), /another key/);
  assert.match(obstacleTo({}, { already_done: true, vouchers: 0 }), /Another name/);
  assert.match(obstacleTo({ rule: { min_total: '80' } }, { vouchers: 1 }), /what-if/);
  assert.equal(obstacleTo({ rule: { min_total: '' } }, { vouchers: 1 }), null);
  assert.match(obstacleTo({}, { vouchers: 0 }), /nothing to issue/);
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

test('each resolution is a sentence', () => {
  assert.equal(resolutionText(null), null);
  assert.equal(resolutionText({ outcome: 'row', existed: true }), 'The row existed already.');
  assert.equal(resolutionText({ outcome: 'discarded', note: 'a test' }), 'Discarded: a test');
  assert.equal(resolutionText({ outcome: 'of_tomorrow' }), 'of_tomorrow');
});

function order(change) {
  return {
    topic: 'order-status',
    partitions: 12,
    partition: 3,
    partitions_read: [3],
    records: [],
    vouchers: [],
    rows: [],
    dead_letters: [],
    ...change,
  };
}

const VOUCHER = { role: 'voucher', voucher: { amount: '5.00 EUR' } };

test('the story of an order says whether it has its voucher', () => {
  const title = (change) => storyOf(order(change)).title;
  assert.equal(title({ vouchers: [VOUCHER], rows: [{}] }), 'It has its voucher of 5.00 EUR');
  assert.equal(title({ vouchers: [VOUCHER], rows: null }), 'Its voucher of 5.00 EUR is issued');
  assert.equal(title({ vouchers: [VOUCHER] }), 'Its voucher is issued, and has no row yet');
  assert.equal(
    title({ vouchers: [VOUCHER], dead_letters: [{ open: true, message: 'taken' }] }),
    'Its voucher is issued, and has no row',
  );
  assert.equal(title({ rows: [{}] }), 'It has a row and no voucher record');
  assert.equal(
    title({ dead_letters: [{ open: true, message: 'x' }] }),
    'No voucher: a record could not be used',
  );
  assert.equal(title({ records: [{ verdict: 'eligible' }] }), 'It earns a voucher that is not issued yet');
});

test('without a voucher the sent record explains why', () => {
  const records = [
    { partition: 0, offset: 1, reason: 'threshold', words: 'total 99.99 EUR is below 100.00' },
    { partition: 0, offset: 0, reason: 'status', words: 'status is PENDING' },
    { partition: 0, offset: 2, reason: 'status', words: 'status is CANCELLED' },
  ];
  assert.equal(decisive(records).reason, 'threshold');
  assert.equal(storyOf(order({ records })).text, 'Total 99.99 EUR is below 100.00.');
  assert.deepEqual(
    inOrderOfTime(records).map(({ offset }) => offset),
    [0, 1, 2],
  );
});

test('texts become sentences', () => {
  assert.equal(sentence(' it failed '), 'It failed.');
  assert.equal(sentence('Why?'), 'Why?');
  assert.equal(sentence(null), '');
});

test('what was read is said', () => {
  assert.equal(extentText(order({})), 'Partition 3 of the 12 of order-status was read: that of the key.');
  assert.match(extentText(order({ partitions_read: [0, 3, 7] })), /other forms of the key: 0, 7/);
  assert.match(extentText(order({ partitions: 1, partition: 0, partitions_read: [0] })), /^All partitions/);
});
