// Orders as a shop places them, over HTTP.

import { setTimeout } from 'node:timers/promises';

import { lab } from './lab.js';
import { codesOf } from './rows.js';
import { until } from './wait.js';

let orders = 0;

/** Returns an id that no other order has. */
export function newOrderId(word = 'shop') {
  orders += 1;
  return `${word}-${process.pid}-${orders}`;
}

/** Places an order and sends it, unless `status` says otherwise. Returns its id. */
export async function placeOrder({ total = '120.00', status = 'SENT', id = newOrderId() } = {}) {
  await request('POST', '/orders', { order_id: id, total });
  if (status !== 'PENDING') await request('PATCH', `/orders/${encodeURIComponent(id)}`, { status });
  return id;
}

/** Places many orders at the same time. Returns their ids. */
export function placeOrders(count, options = {}) {
  return Promise.all(Array.from({ length: count }, () => placeOrder({ ...options, id: newOrderId() })));
}

/** Waits until an order has its row. */
export async function hasRow(id) {
  await until(`the row of ${id}`, async () => (await codesOf(id)).length > 0);
}

/** Places orders, a few each second, until `signal` aborts, so that something flows while a test looks. */
export async function keepPlacing(signal) {
  while (!signal.aborted) {
    await placeOrders(4);
    await pause(200, signal);
  }
}

async function request(method, path, body) {
  const answer = await fetch(`${lab.producer.url}${path}`, {
    method,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!answer.ok) throw new Error(`${method} ${path} is answered ${answer.status}: ${await answer.text()}`);
}

async function pause(milliseconds, signal) {
  try {
    await setTimeout(milliseconds, undefined, { signal });
  } catch {
    // It is time to end.
  }
}
