import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';

import { delayText, isHeldUp, longestMillis, millisWaiting, totalMillis, verdict, whyGivenUp } from '../assets/try/hops.js';
import { isPermanent, pauseMillis } from '../assets/try/pace.js';
import { bodyOf, DEFAULTS, faults, formCommands, isMoney, placeCommand, sendCommand, sum } from '../assets/try/order.js';

test('the sum is exact', () => {
  assert.equal(sum(DEFAULTS.products), '120.00');
  assert.equal(sum([{ price: '0.1' }, { price: '0.2' }]), '0.30');
  assert.equal(sum([{ price: '90071992547409.93' }, { price: '0.01' }]), '90071992547409.94');
  assert.equal(sum([]), '0.00');
  assert.equal(sum([{ price: '1' }, { price: '' }]), null);
});

test('an amount has at most two decimals', () => {
  for (const text of ['0', '120', '120.5', ' 120.50 ']) assert.ok(isMoney(text), text);
  for (const text of ['', '-1', '1e2', '1,50', '99.995', '.5', '5.']) assert.ok(!isMoney(text), text);
});

test('what is empty is left out', () => {
  const form = { orderId: ' ', total: ' 120.00', currency: '', products: [] };
  assert.deepEqual(bodyOf(form), { total: '120.00' });
  const full = { orderId: 'web-1', total: '1', currency: 'eur', products: [{ name: ' a ', price: '1' }] };
  assert.deepEqual(bodyOf(full), {
    order_id: 'web-1',
    total: '1',
    currency: 'EUR',
    products: [{ name: 'a', price: '1' }],
  });
});

test('a fault names its field', () => {
  const form = { orderId: '', total: 'much', currency: 'EURO', products: [{ name: '', price: 'x' }] };
  assert.deepEqual([...faults(form).keys()], ['total', 'currency', 'name-0', 'price-0']);
  assert.equal(faults({ ...DEFAULTS, total: '120.00' }).size, 0);
});

test('a shell reads the commands back as they are meant', () => {
  const body = { order_id: `it's "$HOME" \`id\``, total: '1' };
  const words = execFileSync('sh', ['-c', `curl() { printf '%s\\n' "$@"; }; PRODUCER_HTTP_ADDR=h:1; ${placeCommand(body)}`]);
  const lines = words.toString().trimEnd().split('\n');
  assert.equal(lines[1], 'http://h:1/orders');
  assert.deepEqual(JSON.parse(lines.at(-1)), body);
  assert.ok(sendCommand('a/b c').includes('/orders/a%2Fb%20c"'));
});

test('the form says both commands when it does both', () => {
  const body = { order_id: 'a', total: '1' };
  assert.equal(formCommands(body, false), placeCommand(body));
  assert.equal(formCommands(body, true), `${placeCommand(body)}\n${sendCommand('a')}`);
  assert.ok(formCommands({ total: '1' }, true).endsWith(sendCommand('ORDER_ID')));
});

const hop = (name, state, at = null, took = null) => ({ name, state, at, millis_since_previous: took });

test('the verdict follows the hops', () => {
  const path = (complete, ...hops) => ({ found: true, complete, hops });
  assert.match(verdict({ found: false, complete: false, hops: [] }), /^The order is not known/);
  assert.match(verdict(path(true, hop('voucher', 'done'), hop('row', 'done'))), /in Postgres/);
  assert.match(verdict(path(true, hop('voucher', 'done'), hop('row', 'none'))), /issued/);
  assert.match(verdict(path(true, hop('voucher', 'none'), hop('row', 'none'))), /no voucher/);
  assert.match(verdict(path(true, hop('voucher', 'none'), hop('dead-letter', 'done'))), /dead letter/);
  assert.match(verdict(path(false, hop('voucher', 'waiting'))), /Waiting: Voucher/);
});

test('an order that waits in the outbox is accepted', () => {
  const hops = [hop('ingress', 'done', '2026-11-23T12:00:00.000Z'), hop('outbox', 'waiting'), hop('voucher', 'waiting')];
  assert.match(verdict({ found: true, complete: false, hops }), /^The ingress has accepted it\./);
  const now = Date.parse('2026-11-23T12:00:45.000Z');
  assert.equal(millisWaiting(hops, now), 45_000);
});

test('an order that was accepted long ago may have been published', () => {
  const hops = [hop('ingress', 'done', '2026-08-23T12:00:00.000Z'), hop('outbox', 'waiting'), hop('voucher', 'waiting')];
  assert.match(verdict({ found: true, complete: false, hops }, true), /may wait in the outbox, or its record may be older/);
  assert.ok(!isHeldUp(hops), 'the flow may have nothing to show');
  assert.ok(isHeldUp([hop('voucher', 'waiting')]));
  assert.match(delayText(hops, 45_000), /^It was accepted 45.* ago\.$/);
  assert.match(delayText([hop('voucher', 'waiting')], 45_000), /^It has waited for 45/);
});

test('what is no longer followed says why, and names the flow only where it shows something', () => {
  const known = { hasFailed: false, isKnown: true, isHeldUp: true, said: 'It is not sent yet.' };
  assert.match(whyGivenUp(known), /The flow shows what holds it up\.$/);
  assert.equal(whyGivenUp({ ...known, isHeldUp: false }), 'It is not sent yet. The page has stopped looking.');
  assert.match(whyGivenUp({ ...known, isKnown: false, isHeldUp: false }), /^It was not found among the newest/);
  assert.match(whyGivenUp({ ...known, hasFailed: true }), /^It could no longer be read/);
});

test('an order that nobody knows is asked for less and less often', () => {
  const pauses = [0, 1, 2, 3, 4, 5, 6, 100].map((quiet) => pauseMillis(quiet, false));
  assert.deepEqual(pauses, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
  assert.equal(pauseMillis(0, true), 1000);
  assert.equal(pauseMillis(9, true), 1000);
  assert.equal(pauseMillis(10, true), 5000, 'an order that does not move');
});

test('a question that is wrong is not repeated', () => {
  for (const status of [400, 401, 403, 404, 422]) assert.ok(isPermanent(status), status);
  for (const status of [0, 408, 429, 500, 502, 503, 504, undefined]) assert.ok(!isPermanent(status), status);
});

test('a wait is counted from the last hop that is done', () => {
  const done = hop('order-status', 'done', '2026-11-23T12:00:00.000Z');
  const now = Date.parse('2026-11-23T12:00:45.000Z');
  assert.equal(millisWaiting([done, hop('voucher', 'waiting')], now), 45_000);
  assert.equal(millisWaiting([done, hop('voucher', 'none')], now), null);
  assert.equal(millisWaiting([hop('voucher', 'waiting')], now), null);
});

test('an order that is not sent is held up by nothing', () => {
  const voucher = { ...hop('voucher', 'waiting'), waits_for: 'shop' };
  const hops = [hop('order-status', 'done', '2026-11-23T12:00:00.000Z'), voucher, hop('row', 'waiting')];
  assert.equal(millisWaiting(hops), null);
  assert.match(verdict({ found: true, complete: false, hops }), /^It is not sent yet/);
});

test('the words of a hop decide nothing', () => {
  const voucher = { ...hop('voucher', 'waiting'), waits_for: 'services', text: 'not sent yet, cannot be read' };
  assert.match(verdict({ found: true, complete: false, hops: [voucher] }), /Waiting: Voucher/);
});

test('a table that cannot be read is no order that waits', () => {
  const voucher = hop('voucher', 'done', '2026-11-23T12:00:00.000Z');
  const row = { ...hop('row', 'waiting'), waits_for: 'table' };
  assert.equal(millisWaiting([voucher, row]), null);
  assert.match(verdict({ found: true, complete: false, hops: [voucher, row] }), /cannot be read/);
  assert.match(verdict({ found: true, complete: false, hops: [hop('voucher', 'waiting'), row] }), /Waiting: Voucher/);
});

test('the total is from the first to the last hop that is done', () => {
  const hops = [
    hop('ingress', 'done', '2026-11-23T12:00:00.000Z'),
    hop('order-status', 'done', '2026-11-23T12:00:00.031Z', 31),
    hop('row', 'waiting'),
  ];
  assert.equal(totalMillis(hops), 31);
  assert.equal(totalMillis(hops.slice(0, 1)), null);
  assert.equal(longestMillis(hops), 31);
  assert.equal(longestMillis([]), 1);
});
