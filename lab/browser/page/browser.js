// Chromium, and the pages that people open in it.

import { chromium } from 'playwright-core';

import { lab } from '../lab/lab.js';
import { Watch } from './watch.js';

/** How long an element may take to come. Commands that a page runs are processes of their own. */
const PATIENCE_MILLIS = 45_000;

/** Names that lead to the loopback, for the tests of hostile names. */
export const HOSTILE_NAME = 'console.evil.example';

const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';

let chrome = null;

/** Starts the browser. */
export async function startBrowser() {
  const args = [`--host-resolver-rules=MAP ${HOSTILE_NAME} 127.0.0.1`];
  if (process.getuid() === 0) args.push('--no-sandbox');
  chrome = await chromium.launch({ executablePath: EXECUTABLE, args });
}

/** Ends the browser. */
export async function stopBrowser() {
  await chrome?.close();
  chrome = null;
}

/** What the pages of one test have in common: they are watched, and closed at its end. */
export class Visits {
  #contexts = [];
  #watches = [];

  /**
   * Opens a page in a browser of its own, with nothing of another test in it.
   *
   * @param {string} path
   * @param {object} [options] more are options of Playwright's contexts
   * @param {string|null} [options.as] who is signed in; null: nobody
   * @param {string} [options.at] the address of the console, where it is another one
   * @param {boolean} [options.watched] whether what must never happen in a page of the console is a failure
   */
  async open(path, { as = 'ann', at = lab.console.url, watched = true, ...options } = {}) {
    const context = await chrome.newContext({
      baseURL: at,
      viewport: { width: 1280, height: 900 },
      timezoneId: 'Europe/Vienna',
      ...options,
    });
    context.setDefaultTimeout(PATIENCE_MILLIS);
    this.#contexts.push(context);
    if (watched) {
      const watch = new Watch(at);
      await watch.over(context);
      this.#watches.push(watch);
    }
    if (as !== null) await signIn(context, as);
    const page = await context.newPage();
    await page.goto(path);
    return page;
  }

  /** Fails when something happened that must never happen. */
  check() {
    for (const watch of this.#watches) watch.check();
  }

  /** Returns the pages that are open, for pictures of a failure. */
  pages() {
    return this.#contexts.flatMap((context) => context.pages());
  }

  async close() {
    await Promise.all(this.#contexts.map((context) => context.close()));
  }
}

// One session for each person and run of the console, because the console limits sign-ins per address and
// minute.
const cookies = new Map();

async function signIn(context, name) {
  const key = `${name} ${lab.console.process.pid}`;
  if (!cookies.has(key)) {
    const answer = await context.request.post('/api/session', { data: { key: lab.keys[name] } });
    if (!answer.ok()) throw new Error(`${name} cannot sign in: ${answer.status()} ${await answer.text()}`);
    cookies.set(key, await context.cookies());
  }
  await context.addCookies(cookies.get(key));
}

/** Forgets the sessions, after a test that ended them. */
export function forgetSessions() {
  cookies.clear();
}
