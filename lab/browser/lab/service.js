// One service: started, killed, started again on the same address.

import net from 'node:net';
import { once } from 'node:events';
import path from 'node:path';

import { BIN } from './environment.js';
import { Process } from './processes.js';
import { until } from './wait.js';

export class Service {
  /**
   * Returns `PROGRAM run` with these variables and an address of its own, not started yet.
   *
   * @param {string} name
   * @param {string} program
   * @param {object} variables without the address
   * @param {{address?: string}} [options] `address`: the variable that sets it
   */
  static async of(name, program, variables, { address = 'HTTP_ADDR' } = {}) {
    const service = new Service();
    service.name = name;
    service.address = `127.0.0.1:${await freePort()}`;
    service.url = `http://${service.address}`;
    service.process = new Process(name, path.join(BIN, program), ['run'], {
      PATH: process.env.PATH,
      HOME: process.env.HOME,
      LOG_FORMAT: 'text',
      // There is no load balancer that has to notice first.
      HTTP_SHUTDOWN_DELAY: '0',
      [address]: service.address,
      ...variables,
    });
    return service;
  }

  /** Starts it, and waits until it is ready. */
  async start() {
    this.process.start();
    await this.ready();
  }

  async ready() {
    const isReady = async () => {
      if (!this.process.isRunning) throw new Error(`it has ended; its log ends with\n${this.process.tail()}`);
      const { ok } = await fetch(`${this.url}/readyz`);
      return ok;
    };
    await until(`${this.name} to be ready (log: ${this.process.log})`, isReady);
  }

  stop() {
    return this.process.stop();
  }

  kill() {
    return this.process.kill();
  }

  pause() {
    this.process.pause();
  }

  resume() {
    this.process.resume();
  }

  async restart() {
    await this.stop();
    await this.start();
  }
}

async function freePort() {
  const server = net.createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}
