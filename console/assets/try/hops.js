// What the hops of an order amount to. Pure.

import { millis } from '../format.js';

/** An order arrives in well under a second. After this something holds it up, and the flow view names it. */
export const LATE_MILLIS = 5000;

const LABELS = {
  'ingress': 'Ingress',
  'outbox': 'Outbox',
  'order-status': 'order-status',
  'voucher': 'Voucher',
  'row': 'Row in Postgres',
  'dead-letter': 'Dead letter',
};

// Following reads the newest records alone, and retention removes the oldest.
const UNPUBLISHED =
  'The ingress has accepted it. It may wait in the outbox, or its record may be older than those searched here, ' +
  'or removed. “Explain this order” searches further.';

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

/**
 * Returns the milliseconds since the last hop that is done while another one waits, or null. The hop's
 * time is of another clock, so small values say little. An order that is not sent waits for its shop, and
 * nothing holds it up; a table that cannot be read may have had the row for long.
 */
export function millisWaiting(hops, now = Date.now()) {
  if (!hops.some((hop) => hop.state === 'waiting') || isUnsent(hops) || isUnread(hops)) return null;
  const times = hops.filter((hop) => hop.state === 'done' && hop.at).map((hop) => Date.parse(hop.at));
  const last = Math.max(...times.filter((time) => !Number.isNaN(time)));
  return Number.isFinite(last) ? Math.max(0, now - last) : null;
}

/** Returns the greatest milliseconds of one hop, for the lengths of the bars; at least 1. */
export function longestMillis(hops) {
  return Math.max(1, ...hops.map((hop) => hop.millis_since_previous ?? 0));
}

function isUnsent(hops) {
  return isWaitingFor(hops, 'voucher', 'shop');
}

// Before there is a voucher, nothing is missing in the table.
function isUnread(hops) {
  return hops.some(({ name, state }) => name === 'voucher' && state === 'done') && isWaitingFor(hops, 'row', 'table');
}

function isWaitingFor(hops, which, whom) {
  return hops.some((hop) => hop.name === which && hop.state === 'waiting' && hop.waits_for === whom);
}

/** Returns a sentence on how long ago the last hop was that is done, for an order that waits. */
export function delayText(hops, waited) {
  return isInOutbox(hops) ? `It was accepted ${millis(waited)} ago.` : `It has waited for ${millis(waited)}.`;
}

/** Returns whether something surely holds an order up that waits: the record of an accepted one may be elsewhere. */
export function isHeldUp(hops) {
  return !isInOutbox(hops);
}

function isInOutbox(hops) {
  return hops.find((hop) => hop.state === 'waiting')?.name === 'outbox';
}

/**
 * Returns why an order is no longer followed.
 *
 * @param {object} last
 * @param {boolean} last.hasFailed whether the last request failed
 * @param {boolean} last.isKnown whether the last answer knew the order
 * @param {boolean} last.isHeldUp whether it surely waits for something that the flow view shows
 * @param {string} last.said the last verdict
 */
export function whyGivenUp({ hasFailed, isKnown, isHeldUp, said }) {
  if (hasFailed) return 'It could no longer be read, and the page has stopped trying.';
  if (!isKnown) return 'It was not found among the newest records in 10 minutes. “Explain this order” searches all of them.';
  if (!isHeldUp) return `${said} The page has stopped looking.`;
  return 'It has not arrived in 10 minutes. The flow shows what holds it up.';
}

/**
 * Returns a sentence on where an order is, for the heading and for screen readers. `isLate` says that it has
 * waited for longer than the flow takes.
 */
export function verdict(path, isLate = false) {
  const { hops, complete, found } = path;
  if (found === false) return 'The order is not known yet. The page keeps looking in the newest records, less often over time.';
  const state = (name) => hops.find((hop) => hop.name === name)?.state;
  if (state('row') === 'done') return 'The voucher is in Postgres.';
  if (complete && state('dead-letter') === 'done') return 'The record is a dead letter.';
  if (complete && state('voucher') === 'done') return 'The voucher is issued.';
  if (complete) return 'The order earns no voucher.';
  const waiting = hops.find((hop) => hop.state === 'waiting');
  if (isInOutbox(hops) && isLate) return UNPUBLISHED;
  if (isInOutbox(hops)) return 'The ingress has accepted it. It waits in the outbox to be published.';
  if (isUnread(hops)) return 'Whether it has its row is not known: the table cannot be read.';
  if (isUnsent(hops)) return 'It is not sent yet. Only a sent order earns a voucher.';
  return waiting ? `Waiting: ${hopLabel(waiting.name)}.` : 'On its way.';
}
