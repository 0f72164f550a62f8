// The path of an order as the page draws it: which nodes and edges there are, what their figures mean,
// and how an edge looks. Pure: a Flow of the API in, values out.

import { NONE, clock, compact, dateTime, millis, millisShort, number, rate, seconds, toDate, utc } from '../format.js';

/** From how many seconds of lag on an edge is drawn as one that holds the flow up. */
export const BEHIND_SECONDS = 5;

/** In the order of the path. A node of the API that is not listed here is only in the table. */
export const NODES = [
  { id: 'ingress', kind: 'service', label: 'Ingress' },
  { id: 'outbox', kind: 'table', label: 'Outbox' },
  { id: 'order-status', kind: 'topic', label: 'order-status' },
  { id: 'processor', kind: 'service', label: 'Processor' },
  { id: 'order-status.dlq', kind: 'dead-letters', label: 'order-status.dlq' },
  { id: 'vouchers', kind: 'topic', label: 'vouchers' },
  { id: 'sink', kind: 'service', label: 'Sink' },
  { id: 'vouchers.dlq', kind: 'dead-letters', label: 'vouchers.dlq' },
  { id: 'postgres', kind: 'table', label: 'Postgres' },
];

/** `carries` names what the rate counts; `latency` names what the percentiles measure. */
export const EDGES = [
  { id: 'ingress-outbox', from: 'ingress', to: 'outbox', carries: 'orders', latency: 'request to answer' },
  { id: 'outbox-order-status', from: 'outbox', to: 'order-status', carries: 'events' },
  { id: 'order-status-processor', from: 'order-status', to: 'processor', carries: 'records', latency: 'transaction' },
  { id: 'processor-vouchers', from: 'processor', to: 'vouchers', carries: 'vouchers', latency: 'order to voucher' },
  { id: 'processor-dlq', from: 'processor', to: 'order-status.dlq', carries: 'dead letters', branch: true },
  { id: 'vouchers-sink', from: 'vouchers', to: 'sink', carries: 'records', latency: 'batch' },
  { id: 'sink-postgres', from: 'sink', to: 'postgres', carries: 'rows', latency: 'voucher to row' },
  { id: 'sink-dlq', from: 'sink', to: 'vouchers.dlq', carries: 'dead letters', branch: true },
];

/** Where the dead letters of a node are listed. */
export const LISTS = {
  'order-status.dlq': '/dead-letters#processor',
  'vouchers.dlq': '/dead-letters#sink',
};

const UNKNOWN_NODE = { state: 'unknown', sentence: null, instances: [], figures: [], no_data_since: null };
const UNKNOWN_EDGE = {
  rate_per_second: null,
  lag_records: null,
  lag_seconds: null,
  p50_millis: null,
  p99_millis: null,
};

/** Returns the nodes of a flow by id. Every node of the drawing is there, "unknown" before the first flow. */
export function nodesOf(flow) {
  const nodes = new Map(NODES.map((node) => [node.id, { ...UNKNOWN_NODE, ...node }]));
  for (const node of flow?.nodes ?? []) nodes.set(node.id, { ...nodes.get(node.id), ...node });
  return nodes;
}

/** Returns the services of which a flow knows nothing: "nothing is wrong" can't be said of them. */
export function unknownServices(flow) {
  return [...nodesOf(flow).values()].filter((node) => node.kind === 'service' && node.state === 'unknown');
}

/** Returns the edges of a flow by id, likewise. */
export function edgesOf(flow) {
  const edges = new Map(EDGES.map((edge) => [edge.id, { ...UNKNOWN_EDGE, ...edge }]));
  for (const edge of flow?.edges ?? []) edges.set(edge.id, { ...edges.get(edge.id), ...edge });
  return edges;
}

/**
 * Returns the texts of an edge: the rate, and lines for the lag and the latency as far as they are known.
 *
 * @returns {{rate: string, lines: Array<{text: string, isLag: boolean}>}}
 */
export function edgeTexts(edge) {
  const lines = [];
  const add = (text, isLag) => lines.push({ text, isLag });
  if (edge.lag_records !== null) add(`lag ${compact(edge.lag_records)}`, true);
  if (edge.lag_seconds !== null) {
    add(edge.lag_seconds > 0 ? `${millisShort(edge.lag_seconds * 1000)} late` : 'on time', true);
  }
  if (edge.p50_millis !== null) add(`p50 ${millis(edge.p50_millis)}`, false);
  if (edge.p99_millis !== null) add(`p99 ${millis(edge.p99_millis)}`, false);
  return { rate: rate(edge.rate_per_second), lines };
}

/**
 * Returns how an edge is drawn: "behind" (records wait for too long), "dead" (dead letters are being
 * written), "idle" (nothing flows), "flowing", or "unknown".
 */
export function edgeLook(edge) {
  if (edge.lag_seconds !== null && edge.lag_seconds >= BEHIND_SECONDS) return 'behind';
  if (edge.rate_per_second === null) return 'unknown';
  if (edge.rate_per_second === 0) return 'idle';
  return edge.branch ? 'dead' : 'flowing';
}

/** Returns a line's width in pixels: 1.5 when idle, one and a quarter more for each factor of ten. */
export function edgeWidth(edge) {
  const flowing = edge.rate_per_second ?? 0;
  if (flowing <= 0) return 1.5;
  const width = 2.5 + 1.25 * Math.log10(Math.max(flowing, 1));
  return Math.min(Math.round(width * 4) / 4, 9);
}

/** Returns since when nothing is known of a node, in words, or null: its last figures are no figures of now. */
export function silence(node) {
  const since = toDate(node.no_data_since);
  if (!since) return null;
  const isOfToday = since.toDateString() === new Date().toDateString();
  return `no data since ${isOfToday ? clock(since) : dateTime(since)}`;
}

/** Returns the same instant in UTC, for the title beside these words; null without it. */
export function silenceInUtc(node) {
  return toDate(node.no_data_since) ? utc(node.no_data_since) : null;
}

/** Returns what a node's card says below its name: its first figure, or null. */
export function cardFigure(node) {
  const silent = silence(node);
  if (silent) return { value: NONE, label: silent };
  const [first] = node.figures ?? [];
  if (!first) return null;
  // A card is narrow; the open node has the label in full.
  const label = first.label.replace(/ in the last minute$/, '');
  const value = label === first.label ? String(first.value) : `${first.value}/min`;
  return { value, label };
}

/** Returns a sentence on an edge for the table and for screen readers. */
export function edgeSentence(edge, nodes) {
  const name = (id) => nodes.get(id)?.label ?? id;
  return `${name(edge.from)} to ${name(edge.to)}`;
}

/** Returns the cells of an edge in the table, in the order of its columns after the name. */
export function edgeCells(edge) {
  return [
    edge.rate_per_second === null ? NONE : `${rate(edge.rate_per_second)} ${edge.carries ?? ''}`.trim(),
    number(edge.lag_records),
    seconds(edge.lag_seconds),
    millis(edge.p50_millis),
    millis(edge.p99_millis),
    edge.latency ?? NONE,
  ];
}
