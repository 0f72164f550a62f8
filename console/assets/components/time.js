// Instants: in the reader's zone, with UTC in the title.

import { h, setText } from '../dom.js';
import { ago, clock, clockMillis, dateTime, toDate, utc } from '../format.js';

const SHAPES = { dateTime, clock, clockMillis, ago };

/**
 * @param {string|number|null} instant RFC 3339, or milliseconds
 * @param {'dateTime'|'clock'|'clockMillis'|'ago'} [shape] ages are renewed twice a minute while they are shown
 * @returns {HTMLElement}
 */
export function timeElement(instant, shape = 'dateTime') {
  const date = toDate(instant);
  if (!date) return h('span', { class: 'muted' }, '–');
  const title = shape === 'ago' ? `${dateTime(date)} (${utc(date)})` : utc(date);
  const element = h('time', { datetime: date.toISOString(), title }, SHAPES[shape](date));
  if (shape === 'ago') ages.add(new WeakRef(element));
  return element;
}

// Weak references: an age that is no longer shown is forgotten.
const ages = new Set();

setInterval(() => {
  for (const reference of ages) {
    const element = reference.deref();
    if (!element) ages.delete(reference);
    else if (element.isConnected) setText(element, ago(element.dateTime));
  }
}, 30_000);
