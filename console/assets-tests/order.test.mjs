import assert from 'node:assert/strict';
import { test } from 'node:test';

import { verdictOfToday } from '../assets/models/dead-letters.js';
import {
  commandOptions,
  extentTexts,
  isSearched,
  missingTexts,
  parametersOf,
  reachOf,
  widerThan,
} from '../assets/models/order-search.js';
import {
  deadLetterAddress,
  decisionOf,
  decisive,
  inOrderOfTime,
  isUnpublished,
  sentence,
  storyOf,
} from '../assets/models/order-story.js';
import { outcomeText } from '../assets/models/redriven.js';
import { traceAddress } from '../assets/models/traces.js';

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

test('amounts of an order are written like all others', () => {
  const voucher = { ...VOUCHER, voucher: { amount: '4550.00 EUR' } };
  assert.equal(storyOf(order({ vouchers: [voucher], rows: [{}] })).title, 'It has its voucher of 4,550.00 EUR');
  const words = 'total 4550.00 EUR is below 5000.00';
  const record = { partition: 0, offset: 1, verdict: 'skipped', reason: 'threshold', words };
  assert.equal(storyOf(order({ records: [record] })).text, 'Total 4,550.00 EUR is below 5,000.00.');
  assert.equal(decisionOf({ verdict: 'dead', words: 'it has "4550.00"' }), 'It has "4550.00".', 'as it was found');
  assert.equal(verdictOfToday(`skipped, threshold: ${words}`).message, 'total 4,550.00 EUR is below 5,000.00');
  const state = { outcome: 'skipped', reason: 'threshold', message: words };
  assert.match(outcomeText(state), /4,550\.00 EUR is below 5,000\.00/);
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

const read = (partition, ...spans) => ({
  partition,
  begins: 0,
  ends: 1000,
  read: spans.map(([from, to]) => ({ from, to })),
});
const searched = (topic, complete, how, ...partitions) => ({ topic, complete, how, records_read: 1, partitions });
const DLQ = { topic: 'order-status.dlq', complete: true, how: ['whole partitions'], records_read: 0, partitions: null };

test('what was read completely is said', () => {
  const whole = read(3, [0, 1000]);
  const found = (...topics) => order({ searched: [...topics, DLQ] });
  const own = found(searched('order-status', true, ['whole partitions'], whole));
  assert.ok(isSearched(own));
  assert.deepEqual(extentTexts(own), [
    'order-status was read completely where this order’s key belongs: partition 3.',
  ]);
  const forms = found(searched('order-status', true, [], whole, read(7, [0, 1000])));
  assert.match(extentTexts(forms)[0], /belongs: the partitions 3, 7\.$/);
  const all = order({ partitions: 1, searched: [searched('order-status', true, [], whole)] });
  assert.match(extentTexts(all)[0], /^All partitions/);
  assert.deepEqual(widerThan(own, null), ['all']);
  assert.deepEqual(widerThan(own, 'all'), []);
  assert.deepEqual(widerThan(all, null), []);
});

test('a part of a partition is not called the partition', () => {
  const how = ['by the voucher record', "by the order's times"];
  const found = order({
    searched: [searched('order-status', false, how, read(3, [0, 20], [500, 580])), searched('vouchers', true, [], read(0, [0, 1000]))],
  });
  assert.ok(!isSearched(found));
  assert.equal(
    extentTexts(found)[0],
    'Of order-status, 100 of the 1,000 offsets of partition 3 were read: near the record that its voucher names, ' +
      'and around the times at which the ingress changed it. The rest was not searched, and may have more records ' +
      'of the order.',
  );
  assert.deepEqual(widerThan(found, null), ['scan', 'all']);
  assert.deepEqual(widerThan(found, 'scan'), ['all']);
  assert.equal(storyOf(found).text, 'No record of the order was found in what was searched.');
});

test('a voucher that was not searched for everywhere is not called missing', () => {
  const eligible = (rows, complete) =>
    storyOf(
      order({
        rows,
        records: [{ partition: 3, offset: 1, verdict: 'eligible' }],
        searched: [searched('vouchers', complete, ["by the order's times"], read(0, [0, 20])), DLQ],
      }),
    ).title;
  assert.equal(eligible(null, false), 'It earns a voucher, and none was found');
  assert.equal(eligible(null, true), 'It earns a voucher that is not issued yet');
  assert.equal(eligible([], false), 'It earns a voucher that is not issued yet');
});

test('a record that is named and gone is said', () => {
  const missing = [
    { record: 'vouchers/3/40', why: 'removed' },
    { record: 'order-status/3/41', why: 'replaced' },
  ];
  const [removed, replaced] = missingTexts(order({ missing }));
  assert.match(removed, /^vouchers\/3\/40 .* retention has removed it/);
  assert.match(replaced, /^order-status\/3\/41 .* created again/);
  assert.deepEqual(missingTexts(order({})), []);
});

test('how far to search is in the address, the request and the command', () => {
  const reach = (text) => reachOf(new URLSearchParams(text));
  assert.equal(reach(''), null);
  assert.equal(reach('all=false'), null);
  assert.equal(reach('scan=true'), 'scan');
  assert.equal(reach('scan=true&all=true'), 'all');
  assert.deepEqual(parametersOf(null), {});
  assert.deepEqual(parametersOf('all'), { all_partitions: 'true' });
  assert.deepEqual(parametersOf('scan'), { scan: 'true' });
  assert.deepEqual(commandOptions('all'), { allPartitions: true });
});

test('an order at the ingress is not called unknown before its record is there', () => {
  const ingress = { status: 'SENT', version: 2 };
  const accepted = storyOf(order({ ingress }));
  assert.equal(accepted.title, 'Accepted at the ingress, and not in order-status');
  assert.match(accepted.text, /as SENT, version 2\. It waits in the outbox .* or retention/);
  assert.ok(accepted.isLate);
  const pending = (version) => ({ partition: 3, offset: 1, reason: 'status', words: 'x', fields: { version } });
  const changed = order({ ingress, records: [pending('1')] });
  assert.match(storyOf(changed).text, /to be published\. The flow/);
  const nearby = storyOf({ ...changed, searched: [searched('order-status', false, [], read(3, [0, 20]))] });
  assert.equal(nearby.title, 'Accepted at the ingress, and not found in order-status');
  assert.match(nearby.text, /lies in the rest of the topic\.$/);
  assert.ok(!nearby.isLate, 'it may have arrived long ago');
  // The newest change is there, the record is another writer's, or the order has had an effect.
  assert.ok(!isUnpublished(order({ ingress, records: [pending('2')] })));
  assert.ok(!isUnpublished(order({ ingress, records: [pending(undefined)] })));
  assert.ok(!isUnpublished(order({ ingress, rows: [{}] })));
  assert.ok(!isUnpublished(order({})));
});

test('a dead letter has an address where this console shows it', () => {
  const address = (letter, own) => deadLetterAddress({ letter, own }, 'order-status');
  assert.equal(address('order-status/3/41', true), '/dead-letters/processor/order-status%2F3%2F41');
  assert.equal(address('vouchers/3/41', true), '/dead-letters/sink/vouchers%2F3%2F41');
  assert.equal(address('order-status/3/41', false), null);
});

test('a trace has an address where a viewer is known', () => {
  const id = '0af7651916cd43dd8448eb211c80319c';
  assert.equal(traceAddress('https://t.example.com/{trace_id}?x={trace_id}', id), `https://t.example.com/${id}?x=${id}`);
  assert.equal(traceAddress(null, id), null);
  assert.equal(traceAddress('https://t.example.com/{trace_id}', '../login'), null);
});
