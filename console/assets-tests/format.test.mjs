import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  ago,
  bytes,
  clock,
  clockMillis,
  compact,
  dateTime,
  millis,
  millisShort,
  amounts,
  money,
  NONE,
  number,
  percent,
  plural,
  rate,
  seconds,
  sentence,
  utc,
} from '../assets/format.js';

function table(format, cases) {
  for (const [value, expected] of cases) assert.equal(format(value), expected, String(value));
}

test('what is not known is a dash', () => {
  for (const format of [number, compact, rate, percent, millis, millisShort, seconds, bytes]) {
    for (const value of [null, undefined, NaN, Infinity, '17']) assert.equal(format(value), NONE);
  }
  for (const format of [dateTime, clock, clockMillis, utc, ago]) {
    for (const value of [null, undefined, '', 'yesterday']) assert.equal(format(value), NONE);
  }
});

test('a compact number has at most six characters, and never a thousand of a unit', () => {
  table(compact, [
    [0, '0'],
    [9_999, '9,999'],
    [10_000, '10k'],
    [12_345, '12.3k'],
    [99_960, '100k'],
    [999_499, '999k'],
    [999_500, '1M'],
    [1_234_567, '1.2M'],
    [5e9, '5G'],
    [-12_345, '-12.3k'],
  ]);
  for (let value = 1; value < 1e11; value *= 1.37) assert.ok(compact(value).length <= 6, String(value));
});

test('a small rate is not rounded to nothing', () => {
  table(rate, [
    [0, '0/s'],
    [0.02, '<0.1/s'],
    [0.44, '0.4/s'],
    [9.94, '9.9/s'],
    [9.95, '10/s'],
    [840.4, '840/s'],
    [12_345, '12.3k/s'],
  ]);
});

test('a share is neither nothing nor everything unless it is', () => {
  table(percent, [
    [0, '0 %'],
    [0.0001, '<1 %'],
    [0.512, '51 %'],
    [0.9999, '>99 %'],
    [1, '100 %'],
  ]);
});

test('a duration changes its unit where its number would', () => {
  table(millis, [
    [0, '0 ms'],
    [0.3, '<1 ms'],
    [12.4, '12 ms'],
    [999.4, '999 ms'],
    [999.5, '1 s'],
    [4_700, '4.7 s'],
    [9_960, '10 s'],
    [59_400, '59 s'],
    [59_600, '1 min'],
    [200_000, '3 min 20 s'],
    [3_599_600, '1 h'],
    [11_040_000, '3 h 4 min'],
    [273_600_000, '3 d 4 h'],
    [-31, '−31 ms'],
  ]);
  assert.equal(seconds(4.7), '4.7 s');
  table(millisShort, [
    [200, '200 ms'],
    [9_940, '9.9 s'],
    [10_000, '10 s'],
    [200_000, '3 min'],
  ]);
});

test('an amount stays a decimal text', () => {
  assert.equal(money('1234567.5', 'EUR'), '1,234,567.50 EUR');
  assert.equal(money('0.10', 'EUR'), '0.10 EUR');
  // 2^53 + 1 has no binary float.
  assert.equal(money('9007199254740993.01', 'EUR'), '9,007,199,254,740,993.01 EUR');
  assert.equal(money('-5', 'EUR'), '−5.00 EUR');
  assert.equal(money('100.00'), '100.00');
  assert.equal(money('a lot', 'EUR'), 'a lot EUR');
  assert.equal(money(null, 'EUR'), NONE);
});

test('amounts in the texts of commands are written like all others', () => {
  assert.equal(amounts('4550.00 EUR'), '4,550.00 EUR');
  assert.equal(amounts('total 99.99 EUR is below 1000.00'), 'total 99.99 EUR is below 1,000.00');
  assert.equal(amounts('sent at 2026-05-01T00:00:00.123456Z'), 'sent at 2026-05-01T00:00:00.123456Z');
  assert.equal(amounts(undefined), undefined);
});

test('bytes and counts', () => {
  table(bytes, [
    [1, '1 byte'],
    [1_023, '1,023 bytes'],
    [1_536, '1.5 KiB'],
    [1_048_576, '1 MiB'],
  ]);
  assert.equal(plural(1, 'order', 'orders'), '1 order');
  assert.equal(plural(1_200, 'order', 'orders'), '1,200 orders');
});

test('an instant is shown in a zone, and in UTC', () => {
  const instant = '2026-11-23T23:48:01.605851Z';
  assert.equal(dateTime(instant, 'Europe/Berlin'), '24 Nov 2026, 00:48:01');
  assert.equal(clock(instant, 'Europe/Berlin'), '00:48:01');
  assert.equal(clockMillis(instant, 'Asia/Kolkata'), '05:18:01.605');
  assert.equal(utc(instant), '2026-11-23 23:48:01.605 UTC');
});

test('an age has one unit', () => {
  const now = Date.parse('2026-11-23T12:00:00Z');
  const before = (milliseconds) => ago(now - milliseconds, now);
  assert.equal(before(400), 'now');
  assert.equal(before(59_999), '59 s ago');
  assert.equal(before(200_000), '3 min ago');
  assert.equal(before(90_000_000), '1 d ago');
  assert.equal(before(-5_000), 'in 5 s');
});

test('a fragment becomes a sentence, and a name keeps its letters', () => {
  assert.equal(sentence('no record yet'), 'No record yet.');
  assert.equal(sentence('order-status/3/41: SENT'), 'order-status/3/41: SENT.');
  assert.equal(sentence('http://h:1/metrics: refused'), 'http://h:1/metrics: refused.');
  assert.equal(sentence('Is it running?'), 'Is it running?');
  assert.equal(sentence(null), '');
});

test('no formatter is built before a number is shown, and then one', async () => {
  const { NumberFormat } = Intl;
  let built = 0;
  Intl.NumberFormat = class extends NumberFormat {
    constructor(...options) {
      super(...options);
      built += 1;
    }
  };
  try {
    const fresh = await import('../assets/format.js?fresh');
    assert.equal(fresh.number(null), NONE);
    assert.equal(built, 0);
    for (const value of [1_234, 5]) fresh.number(value);
    assert.equal(built, 1);
  } finally {
    Intl.NumberFormat = NumberFormat;
  }
});
