// However much happens at the source, a page repaints once a frame and does not grow.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';

import { lab } from '../lab/lab.js';
import { until } from '../lab/wait.js';
import { holds } from '../page/case.js';
import { everyView, hasEveryView } from '../page/views.js';

const UPDATES = 1000;
/** Between two bursts the page may collect what it no longer needs. */
const BURSTS = 5;

/** A proxy before the console whose stream has as many flows as a test wants, each with other numbers. */
class Firehose {
  #streams = new Set();
  #flow = null;
  #sent = 0;

  async start() {
    this.server = http.createServer((request, response) => this.#pass(request, response));
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    this.url = `http://127.0.0.1:${this.server.address().port}`;
  }

  stop() {
    this.server.closeAllConnections();
    this.server.close();
  }

  get hasPage() {
    return this.#streams.size > 0 && this.#flow !== null;
  }

  /** Sends `count` flows within about a second, and returns the rate that the last one has. */
  async send(count) {
    for (let sent = 0; sent < count; sent += 20) {
      for (let one = 0; one < 20; one += 1) this.#event();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return this.#sent;
  }

  #event() {
    this.#sent += 1;
    const flow = structuredClone(this.#flow);
    // Each is a second later, so that the charts go on as well.
    flow.at = new Date(Date.parse(flow.at) + this.#sent * 1000).toISOString();
    for (const edge of flow.edges) Object.assign(edge, { rate_per_second: this.#sent, lag_records: this.#sent });
    for (const node of flow.nodes) {
      node.figures = [{ label: 'updates', value: String(this.#sent) }];
    }
    for (const stream of this.#streams) stream.write(`event: flow\ndata: ${JSON.stringify(flow)}\n\n`);
  }

  #pass(request, response) {
    const { method, url, headers } = request;
    const asked = http.request(`${lab.console.url}${url}`, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      if (url === '/api/stream') this.#take(answer, response);
      else answer.pipe(response);
    });
    asked.on('error', () => response.destroy());
    response.on('close', () => asked.destroy());
    request.pipe(asked);
  }

  // The console's own flows are taken as the pattern, and not passed on.
  #take(answer, response) {
    this.#streams.add(response);
    response.on('close', () => this.#streams.delete(response));
    response.write(': the firehose\n\n');
    let text = '';
    answer.setEncoding('utf8').on('data', (part) => {
      text += part;
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
        const data = /^event: flow\ndata: (.*)$/m.exec(text.slice(0, end))?.[1];
        if (data) this.#flow ??= JSON.parse(data);
        text = text.slice(end + 2);
      }
    });
    answer.on('error', () => {});
  }
}

/** Returns what a page holds in memory, after everything that it no longer needs was collected. */
async function held(devtools) {
  await devtools.send('HeapProfiler.collectGarbage');
  const { metrics } = await devtools.send('Performance.getMetrics');
  const value = (name) => metrics.find((metric) => metric.name === name).value;
  return { nodes: value('Nodes'), listeners: value('JSEventListeners'), heap: value('JSHeapUsedSize') };
}

async function devtoolsOf(page) {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('Performance.enable');
  await devtools.send('HeapProfiler.enable');
  return devtools;
}

holds('1,000 updates a second are at most one repaint a frame, and the page does not grow', async ({ open, note }) => {
  const firehose = new Firehose();
  await firehose.start();
  try {
    const page = await open('/flow', { at: firehose.url });
    await page.getByText('Live', { exact: true }).first().waitFor();
    await hasEveryView(page);
    await until('a flow to send on', () => firehose.hasPage);
    const shows = (update) =>
      page.getByRole('group', { name: 'The path of an order' }).getByRole('button', { name: `${update} updates` });
    // The charts are full and every element is there before anything is compared.
    await shows(await firehose.send(UPDATES)).first().waitFor();
    const devtools = await devtoolsOf(page);
    const before = await held(devtools);
    await page.evaluate(() => {
      const counted = { frames: 0, changes: 0 };
      window.counted = counted;
      const frame = () => {
        counted.frames += 1;
        requestAnimationFrame(frame);
      };
      requestAnimationFrame(frame);
      const observer = new MutationObserver(() => {
        counted.changes += 1;
      });
      const main = document.querySelector('main');
      observer.observe(main, { subtree: true, childList: true, characterData: true, attributes: true });
    });
    const elements = () => page.evaluate(() => document.querySelectorAll('*').length);
    const count = await elements();
    for (let burst = 0; burst < BURSTS; burst += 1) await shows(await firehose.send(UPDATES)).first().waitFor();
    const { frames, changes } = await page.evaluate(() => window.counted);
    note(`${BURSTS * UPDATES} updates: ${changes} repaints in ${frames} frames`);
    assert.ok(changes <= frames + 1, `${changes} changes of the page in ${frames} frames`);
    assert.equal(await elements(), count, 'as many elements as before');
    const after = await held(devtools);
    note(`before ${JSON.stringify(before)}, after ${JSON.stringify(after)}`);
    assert.ok(after.nodes <= before.nodes * 1.05, `${before.nodes} nodes have become ${after.nodes}`);
    assert.ok(after.listeners <= before.listeners, `${before.listeners} listeners have become ${after.listeners}`);
    assert.ok(after.heap <= before.heap * 1.25, `${before.heap} bytes have become ${after.heap}`);
  } finally {
    firehose.stop();
  }
});

holds('a page whose reader goes from view to view does not grow', async ({ open, note }) => {
  await everyView(open);
  const page = await open('/flow');
  const round = async () => {
    for (const name of ['Try', 'Orders', 'Dead letters', 'Replay', 'Runs', 'Flow']) {
      await page.getByRole('navigation', { name: 'Views' }).getByRole('link', { name, exact: true }).click();
      await page.getByRole('heading', { level: 1, name, exact: true }).waitFor();
    }
  };
  const devtools = await devtoolsOf(page);
  for (let warming = 0; warming < 3; warming += 1) await round();
  const before = await held(devtools);
  const rounds = 10;
  for (let at = 0; at < rounds; at += 1) await round();
  const after = await held(devtools);
  note(`${rounds} rounds: before ${JSON.stringify(before)}, after ${JSON.stringify(after)}`);
  // A view that was kept would be one for each round.
  assert.ok(after.nodes <= before.nodes * 1.3, `${before.nodes} nodes have become ${after.nodes}`);
  assert.ok(after.listeners <= before.listeners * 1.3, `${before.listeners} listeners have become ${after.listeners}`);
}, { minutes: 5 });
