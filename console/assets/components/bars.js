// Numbers as bars. They are a table, so that screen readers read the same numbers in the same order.

import { h, svg } from '../dom.js';
import { number } from '../format.js';

/**
 * @param {object} options
 * @param {string} options.caption what is counted
 * @param {boolean} [options.showCaption]
 * @param {[string, string]} options.heads the columns: what, and how many
 * @param {Array<{label: string|Node, value: number, tone: string, note?: Node|string|null}>} options.rows
 *   `tone`: "ok", "warn", "bad", "info" or "muted"
 * @param {number} [options.whole] what the longest possible bar stands for; else the largest value
 * @returns {HTMLElement}
 */
export function bars({ caption, showCaption = false, heads, rows, whole }) {
  const longest = Math.max(1, whole ?? 0, ...rows.map(({ value }) => value));
  return h(
    'table',
    { class: 'bars' },
    h('caption', { class: showCaption ? 'table-caption' : 'visually-hidden' }, caption),
    h(
      'thead',
      { class: 'visually-hidden' },
      h(
        'tr',
        null,
        heads.map((head) => h('th', { scope: 'col' }, head)),
      ),
    ),
    h(
      'tbody',
      null,
      rows.map(({ label, value, tone, note }) =>
        h(
          'tr',
          null,
          h(
            'th',
            { scope: 'row' },
            h('span', { class: 'bar-label' }, label),
            note ? h('div', { class: 'bar-note' }, note) : null,
          ),
          h('td', null, h('span', { class: 'bar-number' }, number(value)), bar(value / longest, tone)),
        ),
      ),
    ),
  );
}

function bar(ratio, tone) {
  // Even the smallest number above 0 must be visible.
  const width = ratio > 0 ? Math.max(ratio * 100, 0.8) : 0;
  return svg(
    'svg',
    {
      class: `bar ${tone}`,
      viewBox: '0 0 100 10',
      preserveAspectRatio: 'none',
      'aria-hidden': 'true',
      focusable: 'false',
    },
    svg('rect', { class: 'bar-track', x: 0, y: 0, width: 100, height: 10 }),
    svg('rect', { class: 'bar-fill', x: 0, y: 0, width: width.toFixed(2), height: 10 }),
  );
}
