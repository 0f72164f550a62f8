// The whole system under test: the stack that `run` has started, the services on it, and the console.
//
//   producer ──▶ orders' gate ──▶ Postgres ◀── vouchers' gate ◀── sink, console
//   processor, console ──▶ registry's gate ──▶ registry

import { randomBytes } from 'node:crypto';
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { STACK, WORK } from './environment.js';
import { Gate } from './gate.js';
import * as kafka from './kafka.js';
import { Service } from './service.js';

/** The topic in which commands record who did what. */
export const AUDIT_TOPIC = 'audit';

/** People with a key: name -> role. */
const PEOPLE = { ann: 'operator', otto: 'operator', vera: 'viewer' };

class Lab {
  keys = Object.fromEntries(Object.keys(PEOPLE).map((name) => [name, randomBytes(16).toString('hex')]));

  async start() {
    this.gates = {
      orders: new Gate('Postgres', STACK.orders),
      vouchers: new Gate('Postgres', STACK.vouchers),
      registry: new Gate('the registry', STACK.registry),
    };
    await Promise.all(Object.values(this.gates).map((gate) => gate.open()));
    await kafka.createTopic(AUDIT_TOPIC);
    const { orders, vouchers, registry } = this.gates;
    const common = { KAFKA_BOOTSTRAP_SERVERS: STACK.brokers, SCHEMA_REGISTRY_URL: registry.url };
    this.producer = await Service.of('producer', 'producer', { ...common, DATABASE_URL: orders.url });
    this.processor = await Service.of('processor', 'processor', {
      ...common,
      VOUCHER_SIGNING_KEY: STACK.signingKey,
      PROCESSOR_INSTANCE_ID: 'browser',
      // Hundreds of records that cannot be used are written here on purpose.
      DEAD_LETTER_LIMIT: '1',
    });
    this.sink = await Service.of('sink', 'sink', { ...common, DATABASE_URL: vouchers.url });
    this.writeKeys();
    this.console = await this.newConsole('console', { CONSOLE_KEYS_FILE: this.keysFile });
    await Promise.all([this.producer, this.processor, this.sink].map((service) => service.start()));
    await this.console.start();
  }

  /** Returns one more console about the same services, not started yet. */
  async newConsole(name, variables) {
    const { vouchers, registry } = this.gates;
    const all = {
      KAFKA_BOOTSTRAP_SERVERS: STACK.brokers,
      SCHEMA_REGISTRY_URL: registry.url,
      DATABASE_URL: vouchers.url,
      VOUCHER_SIGNING_KEY: STACK.signingKey,
      AUDIT_TOPIC,
      CONSOLE_PRODUCER_URLS: this.producer.url,
      CONSOLE_PROCESSOR_URLS: this.processor.url,
      CONSOLE_SINK_URLS: this.sink.url,
      CONSOLE_ORDERS_URL: this.producer.url,
      ...variables,
    };
    return Service.of(name, 'console', all, { address: 'CONSOLE_HTTP_ADDR' });
  }

  get keysFile() {
    return path.join(WORK, 'keys');
  }

  /** Writes the file of keys, with those of everybody but `without`. */
  writeKeys({ without } = {}) {
    mkdirSync(WORK, { recursive: true });
    const lines = Object.entries(PEOPLE)
      .filter(([name]) => name !== without)
      .map(([name, role]) => `${name} ${role} ${this.keys[name]}\n`);
    // In one step: the console may read it at any time.
    writeFileSync(`${this.keysFile}.new`, lines.join(''), { mode: 0o600 });
    renameSync(`${this.keysFile}.new`, this.keysFile);
  }

  /** Ends everything, in the direction of the data, so that each service drains into the next. */
  async stop() {
    for (const service of [this.console, this.producer, this.processor, this.sink]) await service?.stop();
    for (const gate of Object.values(this.gates ?? {})) await gate.close();
  }
}

/** The system. Tests share it: each has orders and reasons of its own. */
export const lab = new Lab();
