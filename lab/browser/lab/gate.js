// A gate in front of a backend: open, closed (connections are refused), or holding some requests back.

import { once } from 'node:events';
import net from 'node:net';

import { until } from './wait.js';

export class Gate {
  #server = null;
  #connections = new Set();
  #port = 0;
  #held = null;

  /** @param {string} name @param {string} url of the backend */
  constructor(name, url) {
    this.name = name;
    this.target = new URL(url);
  }

  /** The URL of the backend, through the gate. */
  get url() {
    const url = new URL(this.target);
    url.hostname = '127.0.0.1';
    url.port = String(this.#port);
    return url.href;
  }

  /** Lets connections through, again on the same port. */
  async open() {
    if (this.#server) return;
    const server = net.createServer((client) => this.#connect(client));
    server.listen(this.#port, '127.0.0.1');
    await once(server, 'listening');
    this.#port = server.address().port;
    this.#server = server;
  }

  /** Cuts every connection, and refuses new ones. */
  async close() {
    const server = this.#server;
    if (!server) return;
    this.#server = null;
    const closed = once(server, 'close');
    server.close();
    for (const connection of this.#connections) connection.destroy();
    await closed;
  }

  /** From now on requests that contain `text` wait in the gate. */
  hold(text) {
    this.#held = { text, waiting: [] };
  }

  /** Waits until a request is held back. */
  async holds() {
    await until(`a request with ${this.#held.text} to ${this.name}`, () => this.#held.waiting.length > 0);
  }

  /** Sends on what was held back, and holds nothing more. */
  release() {
    const held = this.#held;
    this.#held = null;
    for (const send of held?.waiting ?? []) send();
  }

  #connect(client) {
    const { hostname, port } = this.target;
    const backend = net.connect(Number(port), hostname);
    for (const [one, other] of [
      [client, backend],
      [backend, client],
    ]) {
      this.#connections.add(one);
      one.setNoDelay(true);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        this.#connections.delete(one);
        other.destroy();
      });
    }
    backend.pipe(client);
    client.on('data', (bytes) => {
      const held = this.#held;
      if (held && bytes.includes(held.text)) held.waiting.push(() => backend.write(bytes));
      else backend.write(bytes);
    });
    client.on('end', () => backend.end());
  }
}
