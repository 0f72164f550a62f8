// Processes that do not outlive this one.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdirSync, openSync, closeSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

import { LOGS, PIDS } from './environment.js';
import { within } from './wait.js';

const STOP_SECONDS = 40;

const running = new Set();

// Runs however this process ends, except by a SIGKILL: then `run` ends the processes that were recorded.
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

/** A child process with its output in a log. */
export class Process {
  #child = null;
  #ended = null;

  /**
   * @param {string} name names the log
   * @param {string} program
   * @param {string[]} args
   * @param {object} environment the whole environment: nothing of ours is inherited
   */
  constructor(name, program, args, environment) {
    Object.assign(this, { name, program, args, environment, log: path.join(LOGS, `${name}.log`) });
  }

  get isRunning() {
    return this.#child !== null;
  }

  get pid() {
    return this.#child?.pid ?? null;
  }

  start() {
    if (this.#child) throw new Error(`${this.name} runs already`);
    mkdirSync(LOGS, { recursive: true });
    const log = openSync(this.log, 'a');
    const child = spawn(this.program, this.args, { env: this.environment, stdio: ['ignore', log, log] });
    closeSync(log);
    running.add(child);
    this.#child = child;
    this.#ended = once(child, 'exit').then(([code, signal]) => {
      running.delete(child);
      this.#child = null;
      return { code, signal };
    });
    if (child.pid) appendFileSync(PIDS, `${child.pid}\n`);
  }

  /** Asks it to stop and waits until it has; kills it when it takes too long, which is a failure. */
  async stop() {
    if (!this.#child) return;
    this.#child.kill('SIGTERM');
    try {
      await within(`${this.name} to stop`, this.#ended, { seconds: STOP_SECONDS });
    } catch (error) {
      await this.kill();
      throw new Error(`${error.message}; its log: ${this.log}`);
    }
  }

  /** Stops it where it is: its connections stay, and nothing is answered. */
  pause() {
    this.#child?.kill('SIGSTOP');
  }

  /** Lets it go on. */
  resume() {
    this.#child?.kill('SIGCONT');
  }

  /** Kills it without a chance to say goodbye. */
  async kill() {
    if (!this.#child) return;
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  /** Returns the last lines of its log, for the message of a failure. */
  tail(lines = 20) {
    return readFileSync(this.log, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
  }
}

/** Returns the children of a process: `[{pid, command}]`. */
export function childrenOf(parent) {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => parentOf(pid) === parent)
    .map((pid) => ({ pid, command: commandOf(pid) }));
}

function parentOf(pid) {
  try {
    // The name is in parentheses and may contain anything, closing parentheses included.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return null; // it has ended meanwhile
  }
}

function commandOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
  } catch {
    return '';
  }
}
