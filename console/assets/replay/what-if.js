// Two rules beside each other: which orders earn a voucher by both, and which by one of them alone.

import { bars } from '../components/bars.js';
import { h, svg } from '../dom.js';
import { money, number, plural } from '../format.js';

const WIDTH = 100;
const HEIGHT = 10;

/**
 * @param {object} compared of `whatIfOf`
 * @returns {HTMLElement}
 */
export function whatIfPicture(compared) {
  const { today, tried, both, more, fewer, currency } = compared;
  return h(
    'section',
    { class: 'what-if' },
    h('h3', null, 'This rule beside today’s'),
    h('p', null, inWords(compared)),
    h(
      'figure',
      { class: 'what-if-picture' },
      strip('Today’s rule', today, [both, fewer, 0], compared),
      strip('This rule', tried, [both, 0, more], compared),
    ),
    bars({
      caption: 'Orders that earn a voucher, by rule',
      heads: ['Rule', 'Orders'],
      whole: both + more + fewer,
      rows: [
        { label: 'By both rules', value: both, tone: 'muted' },
        { label: 'By this rule alone', value: more, tone: 'ok' },
        { label: 'By today’s rule alone', value: fewer, tone: 'bad' },
      ],
    }),
    currency === null ? null : h('p', { class: 'muted small' }, 'Each eligible order earns one voucher.'),
  );
}

/** Returns the comparison in a sentence. */
function inWords({ today, tried, more, fewer, currency, difference }) {
  if (more === 0 && fewer === 0 && tried.sum === today.sum) return 'Both rules give the same vouchers.';
  const changes = [
    more > 0 ? `${plural(more, 'order', 'orders')} more would earn a voucher` : null,
    fewer > 0 ? `${plural(fewer, 'order', 'orders')} would earn none any more` : null,
  ].filter(Boolean);
  const orders = changes.length > 0 ? changes.join(', and ') : 'The same orders would earn a voucher';
  if (difference === null) return `${orders}.`;
  const less = difference.startsWith('-');
  const amount = money(difference.replace('-', ''), currency);
  return `${orders}: ${amount} ${less ? 'less' : 'more'} in all.`;
}

// Parts that both rules share are drawn at the same place, so that the difference is what stands out.
function strip(
  name,
  { vouchers, sum },
  [both, fewer, more],
  { both: shared, fewer: lost, more: gained, currency },
) {
  const whole = Math.max(1, shared + lost + gained);
  const x = (count) => ((count / whole) * WIDTH).toFixed(3);
  return h(
    'div',
    { class: 'what-if-row' },
    h('span', { class: 'what-if-name' }, name),
    svg(
      'svg',
      {
        class: 'what-if-bar',
        viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
        preserveAspectRatio: 'none',
        'aria-hidden': 'true',
        focusable: 'false',
      },
      svg('rect', { class: 'bar-track', x: 0, y: 0, width: WIDTH, height: HEIGHT }),
      svg('rect', { class: 'part-fewer', x: 0, y: 0, width: x(fewer), height: HEIGHT }),
      svg('rect', { class: 'part-both', x: x(lost), y: 0, width: x(both), height: HEIGHT }),
      svg('rect', { class: 'part-more', x: x(lost + shared), y: 0, width: x(more), height: HEIGHT }),
    ),
    h('span', { class: 'what-if-number' }, `${number(vouchers)} · ${money(sum, currency)}`),
  );
}
