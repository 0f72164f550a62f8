// One case: a test with pages of its own.

import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import test from 'node:test';

import { FAILURES } from '../lab/environment.js';
import { Visits } from './browser.js';

const MINUTE = 60_000;

/**
 * Registers a test. Its pages are closed at its end; pictures of them are kept when it fails.
 *
 * @param {string} name a sentence on what holds
 * @param {function({open: function, note: function}): Promise} body `open(path, options)` opens a page,
 *   `note(text)` prints a line beside the test
 * @param {{minutes?: number}} [options] how long it may take
 */
export function holds(name, body, { minutes = 5 } = {}) {
  test(name, { timeout: minutes * MINUTE }, async (context) => {
    const visits = new Visits();
    try {
      await body({
        open: (address, options) => visits.open(address, options),
        note: (text) => context.diagnostic(text),
      });
      visits.check();
    } catch (error) {
      await keep(name, visits);
      throw error;
    } finally {
      await visits.close();
    }
  });
}

async function keep(name, visits) {
  const file = name.toLowerCase().replace(/[^a-z0-9]+/g, '-').slice(0, 80);
  await mkdir(FAILURES, { recursive: true });
  for (const [at, page] of visits.pages().entries()) {
    const target = path.join(FAILURES, `${file}-${at + 1}.png`);
    // A page that does not answer must not hide why the test failed.
    await page.screenshot({ path: target, fullPage: true, timeout: 5000 }).catch(() => {});
  }
}
