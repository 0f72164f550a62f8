// What is in Postgres, whatever the console says about it.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import { STACK } from './environment.js';

const run = promisify(execFile);

const FLAGS = ['--no-psqlrc', '--tuples-only', '--no-align', '--set=ON_ERROR_STOP=1'];

/** Returns the codes of the voucher rows of an order: one, or none. */
export function codesOf(orderId) {
  return ask(`select code from vouchers where order_id = '${orderId.replaceAll("'", "''")}'`);
}

/** Returns the number of all voucher rows. */
export async function countRows() {
  return Number(await ask('select count(*) from vouchers'));
}

async function ask(statement) {
  const { stdout } = await run('psql', [...FLAGS, '--command', statement, STACK.vouchers]);
  return stdout.split('\n').filter((line) => line !== '');
}
