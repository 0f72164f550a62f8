import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

const ASSETS = new URL('../assets/', import.meta.url);
const PAGE = readFileSync(new URL('index.html', ASSETS), 'utf8');

function imports(file) {
  const source = readFileSync(new URL(file, ASSETS), 'utf8');
  const found = [...source.matchAll(/(?:^(?:import|export)\s[^;]*?from\s+|import\()'([^']+)'/gms)];
  return found.map(([, path]) => ({ path, file: new URL(path, new URL(file, ASSETS)).href.slice(ASSETS.href.length) }));
}

function scripts() {
  return readdirSync(ASSETS, { recursive: true }).filter((file) => file.endsWith('.js'));
}

test('every import is relative, names its file with .js, and leads to a file', () => {
  for (const script of scripts()) {
    for (const { path, file } of imports(script)) {
      assert.match(path, /^\.\.?\/.*\.js$/, script);
      assert.ok(existsSync(new URL(file, ASSETS)), `${script}: ${path}`);
    }
  }
});

// Without the list the browser learns of each module from the one that imports it, a round trip each.
test('the page names all modules of the first view beforehand', () => {
  const wanted = new Set();
  const pending = ['app.js', 'views/flow.js'];
  for (const file of pending) {
    if (wanted.has(file)) continue;
    wanted.add(file);
    // The routes import each view when it is shown.
    if (file !== 'routes.js') pending.push(...imports(file).map((found) => found.file));
  }
  const named = [...PAGE.matchAll(/(?:modulepreload" href|src)="\/assets\/([^"]+\.js)"/g)].map(([, file]) => file);
  assert.deepEqual(named.sort(), [...wanted].sort());
});

test('the page names only files that exist', () => {
  for (const [, file] of PAGE.matchAll(/(?:href|src)="\/assets\/([^"#]+\.[a-z]+)"/g)) {
    assert.ok(existsSync(new URL(file, ASSETS)), file);
  }
});

// What the content security policy forbids would fail only when it runs.
test('no script makes markup from texts or sets what the policy blocks', () => {
  const forbidden = /\.(?:innerHTML|outerHTML)\b|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function|setAttribute\('(?:style|on)/;
  for (const script of scripts()) {
    const source = readFileSync(new URL(script, ASSETS), 'utf8');
    assert.ok(!forbidden.test(source), `${script}: ${forbidden.exec(source)?.[0]}`);
  }
  assert.ok(!/\sstyle=|\son\w+=|<style|<script(?![^>]*\ssrc=)/.test(PAGE));
});
