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

// The console names the modules of a view in the page, and finds them by such lines (src/http/page.rs).
test('every import statement ends a line with its path, and the page has the place for the names', () => {
  for (const script of scripts()) {
    const source = readFileSync(new URL(script, ASSETS), 'utf8');
    const ends = source.split('\n').filter((line) => /^(?:import|export|\}).* from '[^']+';$/.test(line));
    const calls = source.match(/import\(/g) ?? [];
    assert.equal(ends.length + calls.length, imports(script).length, script);
  }
  assert.equal(PAGE.split('<!-- modules -->').length, 2);
});

test('the page names only files that exist', () => {
  for (const [, file] of PAGE.matchAll(/(?:href|src)="\/assets\/([^"#]+\.[a-z]+)"/g)) {
    // The console makes it of all style sheets.
    if (file !== 'styles.css') assert.ok(existsSync(new URL(file, ASSETS)), file);
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
