// The JSON of `SERVICE dead-letters`, arranged for a page: pure.

import { amounts, number } from '../format.js';
import { isOpen } from './redriven.js';

/** The maximum number of dead letters that one request names; see MAX_IDS of src/runs/request.rs. */
export const MAX_IDS = 500;

/**
 * Returns the reasons with their counts and the ages of their open dead letters, those with the most open
 * ones first.
 *
 * Counts are of all dead letters, ages of those that are listed, which are the newest: `isPartial` says that there
 * are older ones.
 *
 * @returns {Array<{reason: string, open: number, closed: number, oldest: string|null, newest: string|null,
 *   ids: string[], isPartial: boolean}>}
 */
export function reasonsOf(list) {
  const listed = new Map();
  for (const letter of list.letters) {
    if (!isOpen(letter.state)) continue;
    const letters = listed.get(letter.reason) ?? [];
    letters.push(letter);
    listed.set(letter.reason, letters);
  }
  const reasons = Object.entries(list.reasons).map(([reason, { open, all }]) => {
    const letters = listed.get(reason) ?? [];
    const times = letters
      .map(({ written }) => written)
      .filter(Boolean)
      .sort();
    return {
      reason,
      open,
      closed: all - open,
      oldest: times[0] ?? null,
      newest: times.at(-1) ?? null,
      ids: letters.map(({ letter }) => letter),
      isPartial: letters.length < open,
    };
  });
  return reasons.sort((a, b) => b.open - a.open || b.closed - a.closed || a.reason.localeCompare(b.reason));
}

/** Returns the dead letters of a reason (null: of all), the newest first. */
export function lettersOf(list, reason) {
  const letters = list.letters.filter((letter) => reason === null || letter.reason === reason);
  return letters.sort((a, b) => String(b.written ?? '').localeCompare(String(a.written ?? '')));
}

/** Returns whether every dead letter that was asked for is listed. */
export function isWhole(list) {
  return (list.selected ?? 0) <= list.letters.length;
}

/** Returns how many are listed, of how many, as a sentence; null when all are. */
export function listedText(list) {
  if (isWhole(list)) return null;
  return `The newest ${number(list.letters.length)} of ${number(list.selected)} are listed, all are counted.`;
}

/** Returns the ids of the open dead letters. */
export function openIds(letters) {
  return letters.filter(({ state }) => isOpen(state)).map(({ letter }) => letter);
}

/** Returns the ids of the selected dead letters that a redrive is about: none when it is of a reason. */
export function coveredBy({ ids }) {
  return new Set(ids ?? []);
}

/**
 * Returns whether the page offers what can be done with the selected dead letters. It does not while a redrive
 * of just this selection is open: its panel has the buttons, and the bar would hide them.
 *
 * @param {Set<string>} selected
 * @param {Set<string>|null} covered the ids that the open redrive names (`coveredBy`); null without one
 */
export function offersActions(selected, covered) {
  if (selected.size === 0) return false;
  return covered === null || covered.size !== selected.size || [...selected].some((id) => !covered.has(id));
}

/** Returns what else is in the topic, as sentences. */
export function othersOf(list) {
  const sentences = [];
  if (list.repeats > 0) {
    sentences.push(`${list.repeats} repeats of these are not counted.`);
  }
  if (list.strangers > 0) {
    sentences.push(`${list.strangers} records in ${list.topic} are no dead letters.`);
  }
  for (const [group, count] of Object.entries(list.of_other_groups ?? {})) {
    sentences.push(
      `${count} belong to the group ${group === '' ? 'of an earlier version' : group}, and are not counted.`,
    );
  }
  return sentences;
}

/** Returns a key as text: as it is, as hex, or "null". */
export function keyText(key) {
  if (key === null || key === undefined) return 'null';
  if (typeof key.text === 'string') return key.text === '' ? '(empty)' : key.text;
  return `0x${key.hex}`;
}

const MAX_ORDER_ID_BYTES = 128;

/** Returns the id of the order that a key names, or null when it can't be one. */
export function orderOfKey(key) {
  const text = key?.text;
  if (typeof text !== 'string') return null;
  // A JSON string as the key is the same id in quotes.
  const id = /^".+"$/.test(text) ? text.slice(1, -1) : text;
  const isId = id !== '' && !/\p{Cc}/u.test(id) && new TextEncoder().encode(id).length <= MAX_ORDER_ID_BYTES;
  return isId ? id : null;
}

/**
 * Returns what a redrive would do today, from the sentence `today` of `dead-letters show`: a
 * title, and the sentence without the identifiers before it.
 */
export function verdictOfToday(today) {
  const text = String(today ?? '');
  const message = text.replace(/^(?:eligible|skipped, \w+|dead, \w+|failed, \w+): /, '');
  if (text.startsWith('eligible'))
    return { tone: 'ok', title: 'A redrive would issue its voucher', message: amounts(message) };
  if (text.startsWith('a row')) return { tone: 'ok', title: 'A redrive would write its row', message };
  if (text.startsWith('skipped'))
    return { tone: 'muted', title: 'A redrive would close it without a voucher', message: amounts(message) };
  return { tone: 'bad', title: 'A redrive would fail again', message };
}
