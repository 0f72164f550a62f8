import assert from 'node:assert/strict';
import { test } from 'node:test';

import { extent, niceMax, niceSeconds, paths, sampleAt } from '../assets/chart-geometry.js';
import { route } from '../assets/flow/geometry.js';
import { clock, dateTime } from '../assets/format.js';
import { History, MAX_SAMPLES } from '../assets/flow/history.js';
import { cardFigure, edgeLook, EDGES, edgesOf, edgeTexts, edgeWidth, NODES, nodesOf, silence, silenceInUtc, unknownServices } from '../assets/flow/model.js';

const EDGE = { rate_per_second: null, lag_records: null, lag_seconds: null, p50_millis: null, p99_millis: null };

function flow(at, rate, nodes = []) {
  return {
    at: new Date(at).toISOString(),
    stale: false,
    nodes,
    edges: [{ ...EDGE, id: 'ingress-outbox', rate_per_second: rate }],
    warnings: [],
  };
}

test('the drawing is complete before the first flow', () => {
  assert.equal(nodesOf(null).size, NODES.length);
  assert.equal(edgesOf(null).size, EDGES.length);
  for (const node of nodesOf(null).values()) assert.equal(node.state, 'unknown');
  for (const edge of EDGES) {
    assert.ok(NODES.some(({ id }) => id === edge.from) && NODES.some(({ id }) => id === edge.to), edge.id);
  }
});

test('a service that nobody answers for is not said to be right', () => {
  const ids = (state) => unknownServices(flow(0, 1, state)).map(({ id }) => id);
  assert.deepEqual(ids([]), ['ingress', 'processor', 'sink']);
  assert.deepEqual(ids([{ id: 'processor', state: 'ready' }, { id: 'ingress', state: 'ready' }]), ['sink']);
});

test('an edge says what is known of it and nothing else', () => {
  assert.deepEqual(edgeTexts(EDGE), { rate: '–', lines: [] });
  const late = { ...EDGE, rate_per_second: 300, lag_records: 182_345, lag_seconds: 212, p99_millis: 90 };
  const lines = edgeTexts(late).lines.map(({ text }) => text);
  assert.deepEqual(lines, ['lag 182k', '3 min late', 'p99 90 ms']);
  assert.equal(edgeTexts({ ...EDGE, lag_seconds: 0 }).lines[0].text, 'on time');
});

test('an edge looks like its state, the worst first', () => {
  assert.equal(edgeLook(EDGE), 'unknown');
  assert.equal(edgeLook({ ...EDGE, rate_per_second: 0 }), 'idle');
  assert.equal(edgeLook({ ...EDGE, rate_per_second: 3 }), 'flowing');
  assert.equal(edgeLook({ ...EDGE, rate_per_second: 3, branch: true }), 'dead');
  assert.equal(edgeLook({ ...EDGE, rate_per_second: 3, lag_seconds: 5 }), 'behind');
  assert.equal(edgeLook({ ...EDGE, rate_per_second: null, lag_seconds: 60 }), 'behind');
});

test('a line grows with the rate, within bounds', () => {
  const widths = [0, 0.1, 10, 1_000, 1e12].map((rate) => edgeWidth({ rate_per_second: rate }));
  assert.deepEqual(widths, [...widths].sort((one, other) => one - other));
  assert.equal(widths[0], 1.5);
  assert.equal(widths.at(-1), 9);
});

test('a card has the first figure, and a short label', () => {
  assert.equal(cardFigure({ figures: [] }), null);
  const figures = [{ label: 'vouchers in the last minute', value: '25,140' }];
  assert.deepEqual(cardFigure({ figures }), { value: '25,140/min', label: 'vouchers' });
});

test('a node that nothing is known of says since when, and shows no figure', () => {
  const since = new Date().toISOString();
  const words = `no data since ${clock(since)}`;
  assert.equal(silence({ no_data_since: since }), words);
  const longAgo = '2025-11-23T12:03:04.000Z';
  assert.equal(silence({ no_data_since: longAgo }), `no data since ${dateTime(longAgo)}`);
  assert.equal(silenceInUtc({ no_data_since: longAgo }), '2025-11-23 12:03:04.000 UTC');
  assert.equal(silenceInUtc({ no_data_since: null }), null);
  assert.equal(silence({ no_data_since: null }), null);
  assert.equal(silence(nodesOf(null).get('sink')), null, 'it was never heard');
  const figures = [{ label: 'vouchers in the last minute', value: '25,140' }];
  assert.deepEqual(cardFigure({ figures, no_data_since: since }), { value: '–', label: words });
});

test('lines run beside, below, around and along the rail', () => {
  const box = (left, top) => ({ left, top, right: left + 100, bottom: top + 60 });
  const at = (from, to, layout) => route(from, to, { stacked: false, branch: false, ...layout }).line;
  assert.equal(at(box(0, 0), box(200, 0)), 'M100 30H194');
  assert.equal(at(box(0, 0), box(0, 160)), 'M50 60V154');
  assert.match(at(box(600, 0), box(0, 200)), /^M625 60V.*H60Q.*V194$/);
  assert.equal(at(box(0, 0), box(0, 160), { stacked: true }), 'M22 60V154');
  assert.equal(at(box(0, 0), box(50, 160), { stacked: true, branch: true }), 'M72 60V154');
});

test('the history continues by each flow, and what is missing is a gap', () => {
  const history = new History();
  const start = Date.parse('2026-11-23T12:00:00Z');
  history.replace({ until: new Date(start).toISOString(), series: { 'ingress-outbox.rate': [1, null, 3] } });
  history.append(flow(start + 1_020, 4));
  history.append(flow(start + 1_400, 99));
  history.append(flow(start + 4_000, 7));
  assert.deepEqual(history.values('ingress-outbox.rate'), [1, null, 3, 4, null, null, 7]);
  assert.equal(history.until, start + 4_000);
});

test('a page that is open for a day keeps 15 minutes', () => {
  const history = new History();
  const start = Date.parse('2026-11-23T12:00:00Z');
  for (let second = 0; second < 5_000; second += 1) history.append(flow(start + second * 1_000, second));
  assert.equal(history.values('ingress-outbox.rate').length, MAX_SAMPLES);
  history.append(flow(start + 86_400_000, 5));
  assert.deepEqual(history.values('ingress-outbox.rate'), [5]);
});

test('a history of the server that is no history changes nothing', () => {
  const history = new History();
  history.replace(null);
  history.replace({ until: 'never' });
  history.append({ at: 'never' });
  assert.equal(history.until, null);
});

test('the extent leaves out what is not known', () => {
  assert.equal(extent([]), null);
  assert.equal(extent([null, null]), null);
  assert.deepEqual(extent([null, 3, 1, null]), { min: 1, max: 3, last: null });
});

test('the upper edge is a round number', () => {
  const cases = [
    [0, 1],
    [0.03, 0.05],
    [1, 1],
    [1.01, 2],
    [2.2, 2.5],
    [966, 1_000],
    [-5, 1],
  ];
  for (const [value, expected] of cases) assert.equal(niceMax(value), expected, String(value));
});

test('the upper edge of a lag is a round time', () => {
  for (const [value, expected] of [[0.3, 0.5], [50, 50], [55, 60], [212, 300], [1_200, 1_200], [90_000, 172_800]]) {
    assert.equal(niceSeconds(value), expected, String(value));
  }
});

test('a chart breaks at gaps and ends at the right edge', () => {
  const { line, area } = paths([0, 10, null, 10], { capacity: 4, top: 10 });
  assert.equal(line, 'M0 98L300 2M900 2L900.5 2');
  assert.equal(area.split('Z').length, 3);
  assert.equal(paths([5], { capacity: 900, top: 10 }).line, 'M900 50L900.5 50');
  assert.equal(paths([], { capacity: 900, top: 1 }).line, '');
});

test('the sample below the pointer', () => {
  assert.equal(sampleAt(1, 10, 900), 9);
  assert.equal(sampleAt(0, 10, 900), null);
  assert.equal(sampleAt(0, 900, 900), 0);
});
