// Starts the system and the browser, runs the subjects, and stops everything.

import { readdirSync } from 'node:fs';
import test from 'node:test';

import { lab } from './lab/lab.js';
import { startBrowser, stopBrowser } from './page/browser.js';

// In this order, because the first subjects need a system without dead letters and outages.
const ORDER = [
  'flow',
  'try',
  'orders',
  'replay',
  'runs',
  'dead-letters',
  'open-dead-letters',
  'hostile-texts',
  'redrive',
  'sessions',
  'other-sites',
  'accessibility',
  'keyboard',
  'updates',
  'day',
  'pictures',
  'outages',
  'interrupted',
];

// The longest subjects, which the short form leaves out.
const LONG = ['runs', 'open-dead-letters', 'day', 'pictures', 'outages'];

const words = process.argv.slice(2);
const known = readdirSync(new URL('subjects', import.meta.url)).map((name) => name.replace(/\.js$/, ''));
const chosen = subjects();

try {
  await lab.start();
  await startBrowser();
  for (const subject of chosen) await import(`./subjects/${subject}.js`);
} catch (error) {
  await stop();
  throw error;
}
// Tests of one file run one after the other, so this is the last one.
test('everything stops when it is asked to', { timeout: 120_000 }, stop);

function subjects() {
  if (words.includes('--images')) return ['images'];
  if (words.includes('--short')) return ORDER.filter((subject) => !LONG.includes(subject));
  const unknown = words.filter((word) => !known.includes(word));
  if (unknown.length > 0) {
    console.error(`there is no subject ${unknown.join(', ')}; the subjects are ${ORDER.join(', ')}`);
    process.exit(2);
  }
  return ORDER.filter((subject) => words.length === 0 || words.includes(subject));
}

async function stop() {
  await stopBrowser();
  await lab.stop();
}
