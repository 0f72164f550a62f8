// More updates than the console ever sends.

import { once } from 'node:events';
import http from 'node:http';

import { lab } from './lab.js';
import { until } from './wait.js';

/** A proxy before the console whose stream has as many flows as a test wants, each with other numbers. */
export class Firehose {
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

  /**
   * Sends `count` flows one by one, as fast as the page reads them, so that it takes most of them alone.
   * Returns the rate that the last one has.
   */
  async drip(count) {
    for (let sent = 0; sent < count; sent += 1) {
      this.#event();
      await new Promise((resolve) => setTimeout(resolve, 1));
      if (this.#isBehind()) await until('the page to read on', () => !this.#isBehind());
    }
    return this.#sent;
  }

  #isBehind() {
    return [...this.#streams].some((stream) => stream.writableNeedDrain);
  }

  #event() {
    this.#sent += 1;
    const flow = structuredClone(this.#flow);
    // Each is a second later, so that the charts go on as well.
    flow.at = new Date(Date.parse(flow.at) + this.#sent * 1000).toISOString();
    for (const edge of flow.edges) Object.assign(edge, { rate_per_second: this.#sent, lag_records: this.#sent });
    for (const node of flow.nodes) {
      Object.assign(node, { figures: [{ label: 'updates', value: String(this.#sent) }], no_data_since: null });
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
