// What the hops of an order amount to. Pure.

const LABELS = {
  'ingress': 'Ingress',
  'order-status': 'order-status',
  'voucher': 'Voucher',
  'row': 'Row in Postgres',
  'dead-letter': 'Dead letter',
};

/** Returns a hop's name for people. */
export function hopLabel(name) {
  return LABELS[name] ?? name;
}

/** Returns the milliseconds from the first hop to the last one that is done, or null. */
export function totalMillis(hops) {
  const times = hops
    .filter((hop) => hop.state === 'done' && hop.at)
    .map((hop) => Date.parse(hop.at))
    .filter((time) => !Number.isNaN(time));
  if (times.length < 2) return null;
  return Math.max(...times) - Math.min(...times);
}

/** Returns the greatest milliseconds of one hop, for the lengths of the bars; at least 1. */
export function longestMillis(hops) {
  return Math.max(1, ...hops.map((hop) => hop.millis_since_previous ?? 0));
}

/** Returns a sentence on where an order is, for the heading and for screen readers. */
export function verdict(path) {
  const { hops, complete, found } = path;
  if (found === false) return 'Nothing knows this order yet. It is looked for each second.';
  const state = (name) => hops.find((hop) => hop.name === name)?.state;
  if (state('row') === 'done') return 'The voucher is in Postgres.';
  if (complete && state('dead-letter') === 'done') return 'The record is a dead letter.';
  if (complete && state('voucher') === 'done') return 'The voucher is issued.';
  if (complete) return 'The order earns no voucher.';
  const waiting = hops.find((hop) => hop.state === 'waiting');
  return waiting ? `Waiting: ${hopLabel(waiting.name)}.` : 'On its way.';
}
