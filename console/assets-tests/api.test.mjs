import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';

import { loadModule, problemOf } from '../assets/api.js';

const realFetch = globalThis.fetch;
afterEach(() => {
  globalThis.fetch = realFetch;
});

const broken = () => Promise.reject(new TypeError('Failed to fetch dynamically imported module'));

async function failureOf(load) {
  const failure = await loadModule(load).then(() => null, (error) => error);
  return problemOf(failure).title;
}

test('a view whose module cannot be fetched because the console is away says so', async () => {
  globalThis.fetch = () => Promise.reject(new TypeError('Failed to fetch'));
  assert.equal(await failureOf(broken), 'The console does not answer');
});

test('a view whose module fails although the console answers is a defect of the page', async () => {
  globalThis.fetch = () => Promise.resolve({ ok: true });
  assert.equal(await failureOf(broken), 'The page failed');
});

test('a module that loads is returned without a question to the console', async () => {
  globalThis.fetch = () => assert.fail('nothing is asked');
  assert.equal(await loadModule(async () => 'module'), 'module');
});
