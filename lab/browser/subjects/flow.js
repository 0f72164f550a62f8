// The path, live: what flows, and what is wrong.

import assert from 'node:assert/strict';

import { lab } from '../lab/lab.js';
import { hasRow, keepPlacing, placeOrder } from '../lab/orders.js';
import { Service } from '../lab/service.js';
import { STACK } from '../lab/environment.js';
import { until } from '../lab/wait.js';
import { holds } from '../page/case.js';
import { everyPlaceIs, nothingIsWrong, openPlace, place, warnings, worst } from '../page/flow.js';

// The edges that every order passes.
const EDGES = [
  'Ingress to Outbox',
  'Outbox to order-status',
  'order-status to Processor',
  'Processor to vouchers',
  'vouchers to Sink',
  'Sink to Postgres',
];
// First views of each address. A busy browser paints some of them late, so the median is reported.
const FIRST_VIEWS = 7;
const TIMED = ['Ingress to Outbox', 'Processor to vouchers', 'Sink to Postgres'];

holds('every place of the path is ready, and orders are figures on every edge', async ({ open }) => {
  const page = await open('/');
  await everyPlaceIs(page, 'Ready');
  await nothingIsWrong(page);
  const end = new AbortController();
  const placing = keepPlacing(end.signal);
  try {
    await page.getByRole('button', { name: 'Table', exact: true }).click();
    const edges = page.getByRole('table', { name: 'Edges' });
    const cells = (edge) => edges.getByRole('row').filter({ hasText: edge }).getByRole('cell');
    for (const edge of EDGES) await cells(edge).nth(0).filter({ hasText: /^[1-9]/ }).waitFor();
    for (const edge of TIMED) {
      for (const percentile of [3, 4]) await cells(edge).nth(percentile).filter({ hasText: /\d m?s$/ }).waitFor();
    }
    for (const chart of ['Orders accepted', 'Records processed', 'Vouchers stored']) {
      await page.getByRole('figure', { name: chart }).getByText(/^[1-9].*\/s$/).first().waitFor();
    }
    assert.match(page.url(), /as=table/, 'the table has an address');
  } finally {
    end.abort();
    await placing;
  }
});

holds('the first view of a browser that has nothing yet is timed', async ({ open, note }) => {
  // Measured and not asserted: a machine that has something else to do is no fault of the console.
  for (const [address, as] of [['/login', null], ['/flow', 'ann']]) {
    const times = [];
    for (let time = 0; time < FIRST_VIEWS; time += 1) {
      const page = await open(address, { as, watched: false });
      await page.getByRole('heading', { level: 1 }).waitFor();
      const painted = await until('the first paint', () =>
        page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime),
      );
      times.push(Math.round(painted));
      await page.close();
    }
    const inOrder = times.toSorted((one, other) => one - other);
    const median = inOrder[Math.floor(FIRST_VIEWS / 2)];
    note(`${address}: the first view was painted after ${median} ms, the median of ${times.join(', ')}`);
  }
});

holds('the session is asked for once and beside the modules, and the charts after the first view', async ({ open }) => {
  const page = await open('/flow');
  await page.getByRole('heading', { name: 'The last 15 minutes' }).waitFor();
  const { sessions, modules, charts } = await page.evaluate(() => {
    const of = (end) => performance.getEntriesByType('resource').filter(({ name }) => name.endsWith(end));
    return {
      sessions: of('/api/session').map(({ startTime, initiatorType }) => [startTime, initiatorType]),
      modules: Math.max(...of('/flow/map.js').map(({ responseEnd }) => responseEnd)),
      charts: Math.min(...of('/flow/charts.js').map(({ startTime }) => startTime)),
    };
  });
  assert.equal(sessions.length, 1, 'the script takes over the answer that the page has asked for');
  const [[asked, by]] = sessions;
  assert.equal(by, 'link', 'the page asks for the session, not the script');
  assert.ok(asked < modules, `the session was asked for after ${asked} ms, its view came after ${modules}`);
  assert.ok(charts > modules, `the charts were asked for after ${charts} ms, the drawing came after ${modules}`);
});

holds('an open node and the table are there from their address on', async ({ open }) => {
  const page = await open('/flow?node=sink&as=table');
  await openPlace(page).getByRole('heading', { name: 'Sink', exact: true }).waitFor();
  await page.getByRole('table', { name: 'Edges' }).waitFor();
  assert.match(page.url(), /node=sink/);
  assert.match(page.url(), /as=table/);
});

holds('a service that is killed is unreachable and comes first among what is wrong, until it is back', async ({
  open,
}) => {
  const page = await open('/flow');
  await place(page, 'Sink', 'Ready').waitFor();
  await lab.sink.kill();
  try {
    await place(page, 'Sink', 'Unreachable').waitFor();
    const sentence = `The sink cannot be reached at ${lab.sink.address}: connection refused. Start or restart it (sink run)`;
    const warning = worst(page, sentence);
    await warning.waitFor();
    await page.getByRole('status').filter({ hasText: sentence }).waitFor({ state: 'attached' });
    await warning.getByRole('button', { name: 'Open sink' }).click();
    await openPlace(page).getByRole('heading', { name: 'Sink' }).waitFor();
    await openPlace(page).getByText(/connection refused/i).first().waitFor();
    await openPlace(page).getByRole('listitem').filter({ hasText: lab.sink.address }).waitFor();
    assert.match(page.url(), /node=sink/, 'an open place has an address');
    // What it did within the last minute is not now.
    const silent = /no data since \d\d:\d\d:\d\d/i;
    for (const name of ['Sink', 'Postgres', 'vouchers.dlq']) {
      await place(page, name, '(?:Unreachable|Unknown)').filter({ hasText: silent }).waitFor();
    }
    await openPlace(page).getByText(silent).waitFor();
    await page.getByRole('button', { name: 'Table', exact: true }).click();
    const row = (table, name) =>
      page.getByRole('table', { name: table }).getByRole('row').filter({ has: page.getByRole('rowheader', { name, exact: true }) });
    await row('Nodes', 'Sink').getByText(silent).waitFor();
    const figures = await row('Edges', 'Sink to Postgres').getByRole('cell').allInnerTexts();
    assert.deepEqual(figures.slice(0, 5), Array(5).fill('–'));
  } finally {
    await lab.sink.start();
  }
  await page.getByRole('button', { name: 'Drawing', exact: true }).click();
  await place(page, 'Sink', 'Ready').waitFor();
  await warnings(page).getByText('The sink cannot be reached').waitFor({ state: 'detached' });
  await hasRow(await placeOrder());
});

holds('several instances of a service are one place, which opens', async ({ open }) => {
  const variables = {
    KAFKA_BOOTSTRAP_SERVERS: STACK.brokers,
    SCHEMA_REGISTRY_URL: lab.gates.registry.url,
    DATABASE_URL: lab.gates.vouchers.url,
  };
  const second = await Service.of('second-sink', 'sink', variables);
  const other = await lab.newConsole('second-console', {
    CONSOLE_WITHOUT_KEYS: 'viewer',
    CONSOLE_SINK_URLS: `${lab.sink.url},${second.url}`,
  });
  try {
    await Promise.all([second.start(), other.start()]);
    const page = await open('/flow', { as: null, at: other.url });
    await place(page, 'Sink', 'Ready').filter({ hasText: '×2' }).click();
    await openPlace(page).getByRole('heading', { name: '2 instances' }).waitFor();
    for (const { address } of [lab.sink, second]) await openPlace(page).getByText(address).waitFor();
    // Not killed: the group would wait for it until its session ends, and so would the next test.
    await second.stop();
    await worst(page, `The sink cannot be reached at ${second.address}`).waitFor();
    await openPlace(page).getByRole('button', { name: 'Close Sink' }).click();
    await openPlace(page).waitFor({ state: 'hidden' });
  } finally {
    await other.stop();
    await second.stop();
  }
});

holds('live updates can be paused, and a page that is closed asks nobody', async ({ open }) => {
  const page = await open('/flow');
  const clock = await open('/flow');
  const time = (of) => of.getByText(/^As of /);
  await time(page).waitFor();
  await page.getByRole('button', { name: 'Pause live updates' }).click();
  await page.getByText('Paused').first().waitFor();
  const shown = await time(page).innerText();
  // The other page counts the seconds.
  const seen = new Set();
  await until('three updates of the other page', async () => seen.add(await time(clock).innerText()).size > 3);
  assert.equal(await time(page).innerText(), shown);
  await page.getByRole('button', { name: 'Resume live updates' }).click();
  await until('an update after the pause', async () => (await time(page).innerText()) !== shown);
  await Promise.all([page.close(), clock.close()]);
  await until('the console to see that nobody looks', async () => {
    const metrics = await (await fetch(`${lab.console.url}/metrics`)).text();
    return /^checkout_console_pages 0$/m.test(metrics);
  });
});
