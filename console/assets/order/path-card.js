// The way of an order, hop by hop, with the milliseconds of each.

import { get, isAborted, path } from '../api.js';
import { loading, problemBox } from '../components/problem.js';
import { h, replace } from '../dom.js';
import { millis } from '../format.js';
import { hopItem } from '../try/follow.js';
import { longestMillis, totalMillis } from '../try/hops.js';

/** Fetches and shows the path of an order once. `search` is the query of the API that says how far to search. */
export function pathCard(orderId, { signal, search = '' }) {
  const body = h('div', { class: 'section' }, loading('Timing its hops'));
  const element = h('section', { class: 'card' }, h('h2', null, 'Path, hop by hop'), body);

  async function load() {
    try {
      const { hops, complete } = await get(path`/api/orders/${orderId}/path` + search, { signal });
      const total = totalMillis(hops);
      const longest = longestMillis(hops);
      replace(
        body,
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
              h(
                'a',
                { class: 'button', href: `/try?order=${encodeURIComponent(orderId)}` },
                'Follow it live',
              ),
            ),
      );
    } catch (error) {
      if (!isAborted(error)) replace(body, problemBox(error, { retry: load, level: 3 }));
    }
  }
  load();
  return element;
}
