// The variables that `run` passes on, and the addresses of the stack that it has started.

import path from 'node:path';

/** The folder of everything that is written: logs, pictures, keys. */
export const WORK = required('BROWSER_WORK');

/** The folder of the binaries. */
export const BIN = required('BROWSER_BIN');

/** The root of the repository. */
export const ROOT = required('BROWSER_ROOT');

/** The process of `stack up`, whose children are the broker, the registry and Postgres. */
export const STACK_PID = Number(required('BROWSER_STACK_PID'));

export const LOGS = path.join(WORK, 'logs');
export const PICTURES = path.join(WORK, 'pictures');
export const FAILURES = path.join(WORK, 'failures');

/** The file of process ids that `run` ends if this process could not. */
export const PIDS = path.join(WORK, 'pids');

/** Variables of the stack's file `env`. */
export const STACK = {
  brokers: required('KAFKA_BOOTSTRAP_SERVERS'),
  registry: required('SCHEMA_REGISTRY_URL'),
  orders: required('ORDERS_DATABASE_URL'),
  vouchers: required('VOUCHERS_DATABASE_URL'),
  signingKey: required('VOUCHER_SIGNING_KEY'),
};

function required(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: start lab/browser/run`);
  return value;
}
