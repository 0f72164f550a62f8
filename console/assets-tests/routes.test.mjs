import assert from 'node:assert/strict';
import { test } from 'node:test';

import { goToLogin } from '../assets/navigate.js';
import { matchRoute, NAVIGATION, returnPath, ROUTES } from '../assets/routes.js';

test('a path leads to its view, with its parameters decoded', () => {
  assert.equal(matchRoute('/').route, ROUTES[0]);
  assert.equal(matchRoute('/flow/').route.pattern, '/flow');
  assert.deepEqual(matchRoute('/orders/web%2F1%20%3Cb%3E').params, { id: 'web/1 <b>' });
  const found = matchRoute('/dead-letters/sink/vouchers%2F0%2F7');
  assert.deepEqual(found.params, { service: 'sink', id: 'vouchers/0/7' });
  assert.equal(found.route.pattern, '/dead-letters/{service}/{id}');
});

test('other paths have no view', () => {
  for (const path of ['/nothing', '/orders/1/2', '/dead-letters/sink', '/orders/%E0%A4%A']) {
    assert.equal(matchRoute(path), null, path);
  }
});

test('every link of the navigation has a view', () => {
  for (const { id, href } of NAVIGATION) assert.equal(matchRoute(href).route.nav, id);
});

test('after the login only paths of this page are gone to', () => {
  assert.equal(returnPath('/orders/17?as=table'), '/orders/17?as=table');
  const others = [null, '', 'flow', '//evil.example', '/\\evil.example', 'https://evil.example', '/login?return=/x'];
  others.push('/\t/evil.example', '/\n\\evil.example', '/\r/evil.example');
  for (const text of others) assert.equal(returnPath(text), '/flow', String(text));
});

test('the login leads back to the whole address, also to the part of a view that it names', (context) => {
  const shown = [];
  const page = {
    location: { pathname: '/dead-letters', search: '?closed=true', hash: '#sink' },
    history: { replaceState: (state, title, path) => shown.push(path) },
    window: new EventTarget(),
  };
  Object.assign(globalThis, page);
  context.after(() => Object.keys(page).forEach((name) => delete globalThis[name]));
  goToLogin();
  const { searchParams } = new URL(shown[0], 'http://localhost');
  assert.equal(returnPath(searchParams.get('return')), '/dead-letters?closed=true#sink');
});
