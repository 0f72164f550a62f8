// Icons of 16 by 16, drawn by hand. They stand beside a text or an accessible name and are hidden from
// screen readers.

import { svg } from '../dom.js';

// A dot says "ready", a triangle "warning" and so on, whatever the colour.
const FILLED = {
  'ready': 'M8 2.5a5.5 5.5 0 1 1 0 11a5.5 5.5 0 1 1 0-11Z',
  'degraded': 'M8 1.8 15 14H1Z',
  'not-ready': 'M8 1.2 14.8 8 8 14.8 1.2 8Z',
  'unreachable': 'M4 2 8 6 12 2l2 2-4 4 4 4-2 2-4-4-4 4-2-2 4-4-4-4Z',
  'stopped': 'M3 3h10v10H3Z',
  'info': 'M6.6 6.6h2.8v7.4H6.6ZM6.6 2h2.8v2.8H6.6Z',
  'pause': 'M3.5 2.5h3v11h-3ZM9.5 2.5h3v11h-3Z',
  'play': 'M4 2.2 13.5 8 4 13.8Z',
  // A voucher, and the check mark cut out of it.
  'brand':
    'M2 2.5h12a1.5 1.5 0 0 1 1.5 1.5v2.2a1.8 1.8 0 0 0 0 3.6V12a1.5 1.5 0 0 1-1.5 1.5H2A1.5 1.5 0 0 1 .5 12V9.8a1.8 1.8 0 0 0 0-3.6V4A1.5 1.5 0 0 1 2 2.5Z' +
    'M4.3 8.2 7 10.9 11.9 5.9 10.8 4.8 7 8.7 5.4 7.1Z',
};

const STROKED = {
  'unknown': 'M8 3a5 5 0 1 1 0 10a5 5 0 1 1 0-10Z',
  'running': 'M8 2.5A5.5 5.5 0 1 1 2.5 8',
  'done': 'M2.5 8.5 6 12l7.5-8',
  'copy': 'M5.5 5.5h8v8h-8ZM3 10.5H2.5v-8h8V3',
  'chevron': 'M4 6l4 4 4-4',
  'external': 'M9.5 2.5h4v4M13.5 2.5 7 9M11.5 9.5v4h-9v-9h4',
  'search': 'M7 2.5a4.5 4.5 0 1 1 0 9a4.5 4.5 0 1 1 0-9ZM10.4 10.4 14 14',
  'plus': 'M8 3v10M3 8h10',
  'close': 'M3.5 3.5l9 9M12.5 3.5l-9 9',
  'arrow': 'M2.5 8h11M9.5 4l4 4-4 4',
};

/** Returns the icon of a name. */
export function icon(name) {
  const filled = FILLED[name];
  return svg(
    'svg',
    { class: `icon icon-${name}`, viewBox: '0 0 16 16', 'aria-hidden': 'true', focusable: 'false' },
    filled
      ? svg('path', { d: filled, fill: 'currentColor', 'fill-rule': 'evenodd' })
      : svg('path', {
          d: STROKED[name] ?? STROKED.unknown,
          fill: 'none',
          stroke: 'currentColor',
          'stroke-width': '1.8',
          'stroke-linecap': 'round',
          'stroke-linejoin': 'round',
        }),
  );
}
