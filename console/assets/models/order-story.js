// What `processor explain --json` found about an order, in one sentence: pure.

import { path } from '../api.js';
import { amounts } from '../format.js';

/**
 * Returns whether the order has its voucher, and why.
 *
 * @param {object} found the JSON of `processor explain ORDER_ID --json`
 * @returns {{tone: 'ok'|'warn'|'bad'|'muted'|'info', title: string, text: string}}
 */
export function storyOf(found) {
  const vouchers = found.vouchers.filter((record) => record.role === 'voucher' && record.voucher);
  const open = found.dead_letters.filter((letter) => letter.open);
  if (vouchers.length > 0) return issued(found, vouchers, open);
  if ((found.rows ?? []).length > 0) {
    return {
      tone: 'warn',
      title: 'It has a row and no voucher record',
      text:
        'The table has a voucher of this order, and no voucher record was found. The record may be in a ' +
        'partition that was not read, or may not have been readable.',
    };
  }
  if (open.length > 0) {
    return {
      tone: 'bad',
      title: 'No voucher: a record could not be used',
      text: `${sentence(open[0].message)} Correct the cause, then redrive the dead letter.`,
    };
  }
  return notIssued(found);
}

function issued({ rows }, vouchers, open) {
  const amount = amounts(vouchers[0].voucher.amount);
  if (rows === null || rows === undefined) {
    return {
      tone: 'ok',
      title: `Its voucher of ${amount} is issued`,
      text: 'Whether the sink has written its row is not known: the table was not read.',
    };
  }
  if (rows.length > 0) {
    return {
      tone: 'ok',
      title: `It has its voucher of ${amount}`,
      text: 'The voucher is in the table. Whatever is sent again or replayed, there is no second one.',
    };
  }
  if (open.length > 0) {
    return {
      tone: 'bad',
      title: 'Its voucher is issued, and has no row',
      text: `The sink could not write it: ${sentence(open[0].message)}`,
    };
  }
  return {
    tone: 'warn',
    title: 'Its voucher is issued, and has no row yet',
    text: 'The sink writes rows within seconds when it is not behind. The flow shows what holds it up.',
    isLate: true,
  };
}

function notIssued(found) {
  const { records } = found;
  if (isUnpublished(found)) return unpublished(found);
  if (records.length === 0) {
    const text = isStatusSearched(found)
      ? 'No record of the order is left in the topic.'
      : 'No record of the order was found in what was searched.';
    return { tone: 'muted', title: 'No voucher', text };
  }
  if (records.some((record) => record.verdict === 'eligible')) {
    // A row would have led to its voucher record, wherever that is.
    if (!found.rows && !areVouchersSearched(found)) {
      return {
        tone: 'info',
        title: 'It earns a voucher, and none was found',
        text: 'Only a part of the voucher records was searched, and the table was not read.',
      };
    }
    return {
      tone: 'info',
      title: 'It earns a voucher that is not issued yet',
      text: 'The processor issues vouchers within seconds when it is not behind. The flow shows what holds it up.',
      isLate: true,
    };
  }
  return { tone: 'muted', title: 'No voucher', text: decisionOf(decisive(records)) };
}

function unpublished(found) {
  const { ingress, records, topic } = found;
  const accepted = `The ingress has it as ${ingress.status}, version ${ingress.version}.`;
  if (!isStatusSearched(found)) {
    return {
      tone: 'info',
      title: `Accepted at the ingress, and not found in ${topic}`,
      text:
        `${accepted} The record of this change is not in what was searched: it waits in the outbox to be ` +
        'published, or lies in the rest of the topic.',
    };
  }
  const removed = records.length === 0 ? ', or retention has removed its record' : '';
  return {
    tone: 'info',
    title: `Accepted at the ingress, and not in ${topic}`,
    text: `${accepted} It waits in the outbox to be published${removed}. The flow shows what holds it up.`,
    isLate: true,
  };
}

/**
 * Returns whether the newest change at the ingress has no record, and nothing else shows that it was
 * published. The path of the order has a hop for it then (src/api/path.rs).
 */
export function isUnpublished({ ingress, records, vouchers, rows, dead_letters: letters }) {
  if (!ingress) return false;
  if (vouchers.length > 0 || (rows ?? []).length > 0 || letters.length > 0) return false;
  // Records of other writers have no version.
  return records.every(({ fields }) => Number.parseInt(fields?.version, 10) < ingress.version);
}

/** Returns whether the partitions in which the order's records belong were read completely. */
export function isStatusSearched({ searched, topic }) {
  return (searched ?? []).find((one) => one.topic === topic)?.complete !== false;
}

function areVouchersSearched({ searched, topic }) {
  return (searched ?? []).every((one) => one.topic === topic || one.complete);
}

/** Returns the address of a dead letter's page; null for one of another group, which has none. */
export function deadLetterAddress({ letter, own }, orderStatus) {
  if (own === false) return null;
  const service = letter.startsWith(`${orderStatus}/`) ? 'processor' : 'sink';
  return path`/dead-letters/${service}/${letter}`;
}

/** Returns the decision on a record as a sentence. What cannot be used is quoted as it is. */
export function decisionOf({ verdict, words }) {
  return sentence(verdict === 'dead' ? words : amounts(words));
}

/**
 * Returns the record whose decision explains best why there is no voucher: the last one that was sent, or
 * else the last one. "Not sent" of the order's first record explains nothing when a later one was sent.
 */
export function decisive(records) {
  const inOrder = inOrderOfTime(records);
  const early = new Set(['status', 'tombstone']);
  return inOrder.findLast((record) => !early.has(record.reason)) ?? inOrder.at(-1);
}

/** Returns the records in the order of their times; those of one partition always in that of their offsets. */
export function inOrderOfTime(records) {
  return [...records].sort((a, b) => {
    if (a.partition === b.partition) return a.offset - b.offset;
    return String(a.written ?? '').localeCompare(String(b.written ?? ''));
  });
}

/**
 * Returns a text as a sentence: with a full stop, and with a capital letter unless it begins with a name,
 * such as that of a field or a host.
 */
export function sentence(text) {
  const words = String(text ?? '').trim();
  if (words === '') return '';
  const start = /^[a-z]+[ ,]/.test(words) ? words[0].toUpperCase() + words.slice(1) : words;
  return /[.!?]$/.test(start) ? start : `${start}.`;
}
