// How far the topics were searched for an order, in sentences: pure.

import { number, plural } from '../format.js';

// How explain came to what it read -> in words, after "were read".
const WAYS = {
  'by the row': 'near the record that its row names',
  'by the voucher record': 'near the record that its voucher names',
  'by the dead letter': 'near the record that its dead letter names',
  "by the order's times": 'around the times at which the ingress changed it',
  'in the newest offsets': 'the newest ones',
};

/** The searches, by how far they go: the parameter of the address -> that of the API, and of the command. */
const REACHES = {
  scan: { parameter: 'scan', command: { scan: true } },
  all: { parameter: 'all_partitions', command: { allPartitions: true } },
};

/** Returns how far the query of an address asks to search: `scan`, `all`, or null for the usual search. */
export function reachOf(query) {
  return ['all', 'scan'].find((reach) => query.get(reach) === 'true') ?? null;
}

/** Returns the parameters of the API for a search. */
export function parametersOf(reach) {
  return reach === null ? {} : { [REACHES[reach].parameter]: 'true' };
}

/** Returns the options of the command for a search. */
export function commandOptions(reach) {
  return reach === null ? {} : REACHES[reach].command;
}

/** Returns whether everything was read in which records of the order are expected. */
export function isSearched(found) {
  return topicsOf(found).every(({ complete }) => complete);
}

/** Returns the wider searches that have not been made, the cheaper one first. */
export function widerThan(found, reach) {
  const wider = [];
  if (!isSearched(found) && reach === null) wider.push('scan');
  if (reach !== 'all' && found.partitions > 1) wider.push('all');
  return wider;
}

/** Returns a sentence about each topic: what was read of it, and what was not. */
export function extentTexts(found) {
  return topicsOf(found).map((topic) => extentText(topic, found));
}

/** Returns a sentence about each record that is named somewhere, and that is not where it was. */
export function missingTexts(found) {
  return (found.missing ?? []).map(({ record, why }) =>
    why === 'replaced'
      ? `${record} is named by a row, a voucher or a dead letter. Another record is there now: the topic was deleted and created again.`
      : `${record} is named by a row, a voucher or a dead letter, and is gone: compaction or retention has removed it.`,
  );
}

// Dead letter topics have no partitions here, and are always read completely.
function topicsOf(found) {
  return (found.searched ?? []).filter(({ partitions }) => partitions?.length > 0);
}

function extentText(topic, found) {
  const { topic: name, partitions, complete } = topic;
  const where = partitionsText(partitions.map(({ partition }) => partition));
  // How many partitions there are is known of the order statuses alone.
  if (name === found.topic && partitions.length >= found.partitions && partitions.every(isWhole)) {
    return `All partitions of ${name} were read (${partitions.length}).`;
  }
  if (complete) return `${name} was read completely where this order’s key belongs: ${where}.`;
  const [read, held] = [sum(partitions, readOf), sum(partitions, heldOf)];
  return (
    `Of ${name}, ${number(read)} of the ${plural(held, 'offset', 'offsets')} of ${where} were read` +
    `${waysText(topic.how)}. The rest was not searched, and may have more records of the order.`
  );
}

function partitionsText(numbers) {
  if (numbers.length === 1) return `partition ${numbers[0]}`;
  return numbers.length <= 8 ? `the partitions ${numbers.join(', ')}` : `${numbers.length} partitions`;
}

function waysText(how) {
  const ways = (how ?? []).map((way) => WAYS[way]).filter(Boolean);
  return ways.length === 0 ? '' : `: ${ways.join(', and ')}`;
}

function isWhole(partition) {
  return readOf(partition) >= heldOf(partition);
}

function heldOf({ begins, ends }) {
  return Math.max(0, (ends ?? 0) - (begins ?? 0));
}

function readOf({ read }) {
  return sum(read, ({ from, to }) => to - from);
}

function sum(list, of) {
  return list.reduce((total, one) => total + of(one), 0);
}
