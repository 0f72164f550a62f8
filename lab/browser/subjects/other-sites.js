// Pages of other sites, and hostile names for the console's address, get nothing.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';

import { lab } from '../lab/lab.js';
import { HOSTILE_NAME } from '../page/browser.js';
import { holds } from '../page/case.js';

const DISCARD = { kind: 'discard', service: 'processor', ids: ['order-status/0/0'], why: 'of another site' };

/** Serves one page of another site for as long as `visit` lasts. */
async function withSite(html, visit) {
  const server = http.createServer((_, response) => {
    response.writeHead(200, { 'content-type': 'text/html' });
    response.end(html);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    // Another site for the browser: "localhost" and "127.0.0.1" have nothing in common.
    await visit(`http://localhost:${server.address().port}/`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

async function runsOf(page) {
  return page.evaluate(async () => (await (await fetch('/api/runs')).json()).length);
}

holds('another site can neither send a form nor a request in the name of whoever is signed in', async ({ open }) => {
  const page = await open('/runs', { watched: false });
  await page.getByRole('heading', { level: 1, name: 'Runs' }).waitFor();
  const before = await runsOf(page);
  const target = `${lab.console.url}/api/runs`;
  const form = `<form method="post" enctype="text/plain" action="${target}">
    <input name='${JSON.stringify(DISCARD).slice(0, -1)},"x":"' value='"}'></form>`;
  await withSite(form, async (address) => {
    // In the same browser, so that it has the cookie.
    const other = await page.context().newPage();
    await other.goto(address);
    const statuses = [];
    other.on('response', (answer) => answer.url() === target && statuses.push(answer.status()));
    const reached = await other.evaluate(
      async ({ url, body }) => {
        const attempts = [
          { mode: 'no-cors', headers: { 'content-type': 'text/plain' } },
          { mode: 'cors', headers: { 'content-type': 'application/json' } },
        ];
        const read = [];
        for (const attempt of attempts) {
          const options = { method: 'POST', credentials: 'include', body: JSON.stringify(body), ...attempt };
          read.push(await fetch(url, options).then((answer) => answer.type !== 'opaque', () => false));
        }
        return read;
      },
      { url: target, body: DISCARD },
    );
    assert.deepEqual(reached, [false, false], 'it reads no answer');
    const answered = other.waitForResponse(target);
    await other.evaluate(() => document.forms[0].submit());
    statuses.push((await answered).status());
    assert.ok(statuses.length >= 2, 'the requests have reached the console');
    for (const status of statuses) assert.ok(status === 403 || status === 401, `it is answered ${status}`);
    await other.close();
  });
  assert.equal(await runsOf(page), before);
});

holds('a request with a foreign Origin is refused, whatever its cookie', async ({ open }) => {
  const page = await open('/runs');
  const { request } = page.context();
  const post = (headers) => request.post('/api/runs', { data: DISCARD, headers });
  for (const headers of [
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { origin: `http://${HOSTILE_NAME}:${new URL(lab.console.url).port}` },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
  ]) {
    const answer = await post(headers);
    assert.equal(answer.status(), 403, JSON.stringify(headers));
    assert.match(answer.headers()['content-type'], /^application\/problem\+json/);
  }
  const answer = await request.post('/api/runs', { data: 'kind=discard', headers: { 'content-type': 'text/plain' } });
  assert.equal(answer.status(), 415, 'only JSON is a body');
});

holds('a hostile name that leads to the address of the console reaches nothing', async ({ open }) => {
  const { port } = new URL(lab.console.url);
  const page = await open('/login', { as: null, watched: false });
  for (const path of ['/', '/api/session', '/api/flow', '/metrics']) {
    const answer = await page.goto(`http://${HOSTILE_NAME}:${port}${path}`);
    assert.equal(answer.status(), 421, path);
  }
  const text = await page.locator('body').innerText();
  assert.match(text, /not a name of this console/);
});

holds('another site cannot show the console in a frame', async ({ open }) => {
  const page = await open('/flow', { watched: false });
  await withSite(`<iframe src="${lab.console.url}/flow" width="900" height="600"></iframe>`, async (address) => {
    const other = await page.context().newPage();
    const complained = other.waitForEvent('console', {
      predicate: (message) => /frame-ancestors|X-Frame-Options/i.test(message.text()),
    });
    await other.goto(address);
    await complained;
    // The browser's own page of an error is in its place, which may have a heading too.
    const frame = other.frames()[1];
    assert.ok(!frame.url().startsWith(lab.console.url), frame.url());
    assert.equal(await frame.getByRole('heading', { name: 'Flow' }).count(), 0);
    await other.close();
  });
});

holds('every answer says to browsers what they may do with it', async ({ open }) => {
  const page = await open('/flow');
  for (const path of ['/', '/flow', '/api/session', '/api/nothing', '/nothing', '/livez']) {
    const answer = await page.context().request.get(path);
    const headers = answer.headers();
    for (const directive of [
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "base-uri 'none'",
      "frame-ancestors 'none'",
      "require-trusted-types-for 'script'",
    ]) {
      assert.ok(headers['content-security-policy'].includes(directive), `${directive} of ${path}`);
    }
    assert.equal(headers['x-content-type-options'], 'nosniff', path);
    assert.equal(headers['referrer-policy'], 'no-referrer', path);
    if (path.startsWith('/api/')) assert.equal(headers['cache-control'], 'no-store', path);
  }
});
