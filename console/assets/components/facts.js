// Names and values, side by side.

import { h } from '../dom.js';

/**
 * @param {Array<[string, Node|string|number|null]>} pairs those without a value are left out
 * @returns {HTMLElement}
 */
export function facts(pairs) {
  return h(
    'dl',
    { class: 'facts' },
    pairs
      .filter(([, value]) => value !== null && value !== undefined && value !== '')
      .map(([name, value]) => h('div', { class: 'fact' }, h('dt', null, name), h('dd', null, value))),
  );
}
