// A few numbers that matter, large.

import { h } from '../dom.js';

/**
 * @param {Array<{value: string|Node, label: string, tone?: string, note?: string|null}|null>} list
 * @returns {HTMLElement}
 */
export function figures(list) {
  return h(
    'dl',
    { class: 'figures' },
    list
      .filter((figure) => figure)
      .map(({ value, label, tone, note }) =>
        h(
          'div',
          { class: 'figure' },
          h('dt', null, label),
          h('dd', { class: tone ? `figure-value ${tone}` : 'figure-value' }, value),
          note ? h('dd', { class: 'figure-note' }, note) : null,
        ),
      ),
  );
}
