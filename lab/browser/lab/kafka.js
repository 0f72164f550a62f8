// The broker: records are typed into Kafka's own console producer, and the broker is paused.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

import { BIN, STACK, STACK_PID, WORK } from './environment.js';
import { childrenOf } from './processes.js';

const STACK_PROGRAM = path.join(BIN, 'stack');

// A header's value may have neither a comma nor a tilde in it.
const HEADERS = ['--reader-property', 'parse.headers=true', '--reader-property', 'headers.delimiter=~'];

/**
 * Writes records as any client would.
 *
 * @param {Array<{key: string, value: string, headers?: object}>} records without "|" in their keys; either
 *   all of them have headers, or none
 */
export async function write(records, { topic = 'order-status' } = {}) {
  const withHeaders = records.some(({ headers }) => headers);
  const line = ({ key, value, headers }) => {
    const words = Object.entries(headers ?? {}).map(([name, text]) => `${name}:${text}`);
    return `${withHeaders ? `${words.join(',')}~` : ''}${key}|${value}\n`;
  };
  await tool(
    'kafka-console-producer',
    [
      '--topic',
      topic,
      '--reader-property',
      'parse.key=true',
      '--reader-property',
      'key.separator=|',
      ...(withHeaders ? HEADERS : []),
    ],
    records.map(line).join(''),
  );
}

/** Creates a topic with one partition, unless it exists. */
export async function createTopic(name) {
  await tool('kafka-topics', ['--create', '--if-not-exists', '--topic', name, '--partitions', '1']);
}

/** Returns the committed values of a topic, each as text. */
export async function read(topic) {
  const read = await tool('kafka-console-consumer', [
    '--topic',
    topic,
    '--from-beginning',
    '--timeout-ms',
    '5000',
    '--isolation-level',
    'read_committed',
  ]);
  return read.split('\n').filter((line) => line !== '');
}

/** Stops the broker's process where it is: connections stay, and nothing is answered. */
export function pause() {
  process.kill(broker(), 'SIGSTOP');
}

/** Lets the broker go on. */
export function resume() {
  process.kill(broker(), 'SIGCONT');
}

function broker() {
  const found = childrenOf(STACK_PID).find(({ command }) => command.includes('kafka.Kafka'));
  if (!found) throw new Error('the stack has no process of Kafka');
  return found.pid;
}

/** Runs one of Kafka's tools to its end, and returns what it prints. */
async function tool(name, args, input = '') {
  const child = spawn(STACK_PROGRAM, ['tool', '--directory', path.join(WORK, 'stack'), name, '--', ...args], {
    env: { ...process.env, KAFKA_BOOTSTRAP_SERVERS: STACK.brokers },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const printed = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr']) {
    child[stream].setEncoding('utf8').on('data', (text) => {
      printed[stream] += text;
    });
  }
  // A tool that ends without reading its input closes the pipe: its exit code says why.
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const [code] = await once(child, 'close');
  // The console consumer counts the end of its patience as an error.
  const isTimeout = printed.stderr.includes('TimeoutException') && name === 'kafka-console-consumer';
  if (code !== 0 && !isTimeout) throw new Error(`${name} failed: ${printed.stderr.trim()}`);
  return printed.stdout;
}
