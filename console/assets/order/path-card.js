// The way of an order, hop by hop, with the milliseconds of each.

import { h } from '../dom.js';
import { millis } from '../format.js';
import { hopItem } from '../try/follow.js';
import { longestMillis, totalMillis } from '../try/hops.js';

/**
 * Shows the path of an order.
 *
 * @param {string} orderId
 * @param {{hops: object[], complete: boolean}|null} path null when it cannot be told
 */
export function pathCard(orderId, path) {
  return h(
    'section',
    { class: 'card' },
    h('h2', null, 'Path, hop by hop'),
    h(
      'div',
      { class: 'section' },
      path ? hopList(orderId, path) : h('p', { class: 'muted' }, 'The path cannot be shown. The console’s log says why.'),
    ),
  );
}

function hopList(orderId, { hops, complete }) {
  const total = totalMillis(hops);
  const longest = longestMillis(hops);
  return [
    h(
      'ol',
      { class: 'hops' },
      hops.map((hop) => hopItem(hop, longest)),
    ),
    total === null
      ? null
      : h(
          'p',
          { class: 'muted small' },
          `${millis(total)} from first to last${complete ? '' : ' so far'}, by the clocks of different machines.`,
        ),
    complete
      ? null
      : h(
          'div',
          { class: 'actions' },
          h('a', { class: 'button', href: `/try?order=${encodeURIComponent(orderId)}` }, 'Follow it live'),
        ),
  ];
}
