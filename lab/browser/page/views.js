// Every view by its address, with something to see in it.

import { write } from '../lab/kafka.js';
import { hasRow, newOrderId, placeOrder } from '../lab/orders.js';
import { until } from '../lab/wait.js';
import { untilListed } from './dead-letters.js';

const MODULES = ['flow', 'try', 'order', 'dead-letters', 'dead-letter', 'replay', 'runs', 'run'];

let prepared = null;

/** Waits until the page has the modules of all views, which it loads by itself after the first one. */
export function hasEveryView(page) {
  const elements = MODULES.map((name) => `view-${name}`);
  return until('the modules of all views', () =>
    page.evaluate((names) => names.every((name) => customElements.get(name)), elements),
  );
}

/**
 * Makes what the views show, once. Returns `[{name, path, as, isThere}]`: `isThere` waits until a page shows
 * the view as a whole.
 *
 * @param {function} open as a case has it
 */
export function everyView(open) {
  prepared ??= prepare(open);
  return prepared;
}

async function prepare(open) {
  const order = await placeOrder({ total: '150.00' });
  await hasRow(order);
  const dead = newOrderId('unusable');
  const value = JSON.stringify({ order_id: dead, status: 'SHIPPED', total: '120.00', note: 'of the test shop' });
  await write([{ key: dead, value, headers: { source: 'the test shop' } }]);
  const page = await open('/dead-letters');
  const link = (await untilListed(page, dead)).getByRole('link', { name: /^order-status\// });
  const letter = await link.innerText();
  const [dryRun, run] = await page.evaluate(async (id) => {
    const headers = { 'content-type': 'application/json' };
    const start = async (request) => {
      const answer = await fetch('/api/runs', { method: 'POST', headers, body: JSON.stringify(request) });
      return (await answer.json()).id;
    };
    return [
      await start({ kind: 'backfill', dry_run: true, rule: { min_total: '50.00' } }),
      await start({ kind: 'redrive', service: 'processor', ids: [id], confirm: 1, why: 'a run to look at' }),
    ];
  }, letter);
  await page.goto(`/runs/${run}`);
  await page.getByText('Done', { exact: true }).last().waitFor();

  const heading = (name) => (shown) => shown.getByRole('heading', { name }).first().waitFor();
  // Until the console has polled the services, the page shows the flow of an earlier page, and says so.
  const flow = (isThere) => async (shown) => {
    await shown.getByText(/^As of /).waitFor();
    await isThere(shown);
  };
  return [
    { name: 'login', path: '/login', as: null, isThere: heading('Sign in to checkout') },
    { name: 'flow', path: '/flow', isThere: flow(heading('The last 15 minutes')) },
    { name: 'flow-open', path: '/flow?node=processor', isThere: flow(heading('1 instance')) },
    {
      name: 'flow-table',
      path: '/flow?as=table',
      isThere: flow((shown) => shown.getByRole('table', { name: 'Edges' }).waitFor()),
    },
    { name: 'try', path: '/try', isThere: heading('No order is followed') },
    { name: 'try-followed', path: `/try?order=${order}`, isThere: text('The voucher is in Postgres.') },
    { name: 'orders', path: '/orders', isThere: heading('Why has an order a voucher, or none?') },
    { name: 'order', path: `/orders/${order}`, isThere: heading('Rows in Postgres') },
    { name: 'order-dead', path: `/orders/${dead}`, isThere: heading('Dead letters') },
    { name: 'order-unknown', path: '/orders/nobody', isThere: heading('Order nobody was not found') },
    { name: 'dead-letters', path: '/dead-letters', isThere: text(dead) },
    { name: 'dead-letters-closed', path: '/dead-letters?closed=true', isThere: text(dead) },
    {
      name: 'dead-letter',
      path: `/dead-letters/processor/${encodeURIComponent(letter)}`,
      isThere: heading('Where it comes from'),
    },
    { name: 'replay', path: '/replay', isThere: heading('Replay') },
    { name: 'replay-preview', path: `/replay?preview=${dryRun}`, isThere: heading('Compared with the table') },
    { name: 'runs', path: '/runs', isThere: text('a run to look at') },
    { name: 'run', path: `/runs/${run}`, isThere: heading('Result') },
    { name: 'viewer-try', path: '/try', as: 'vera', isThere: heading('Viewers place no orders') },
    { name: 'unknown', path: '/nothing-is-here', isThere: heading('There is no such page') },
  ];
}

function text(words) {
  return (shown) => shown.getByText(words).first().waitFor();
}
