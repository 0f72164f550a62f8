// A small chart: the last 15 minutes of one series as a line, with its lowest, highest and latest value as
// texts. The texts say what the line shows, so the line itself is hidden from screen readers.

import { extent, HEIGHT, niceMax, paths, sampleAt, WIDTH } from './chart-geometry.js';
import { h, setAttribute, setText, svg, uniqueId } from './dom.js';
import { clock, NONE, utc } from './format.js';

/**
 * @param {object} options
 * @param {string} options.title what is shown, such as "Orders accepted"
 * @param {function(number|null): string} options.format
 * @param {number} [options.capacity] samples that fill the width
 * @param {number} [options.stepSeconds]
 * @param {number} [options.least] the upper edge is never below this value, so that noise looks like noise
 * @param {function(number): number} [options.nice] rounds the upper edge up
 * @param {string} [options.tone] a class: "flow", "warn", "bad"
 * @returns {HTMLElement} with `update(values, until)`; `until`: the newest sample's instant in milliseconds
 */
export function sparkline({ title, format, capacity = 900, stepSeconds = 1, least = 0, nice = niceMax, tone = 'flow' }) {
  const titleId = uniqueId('chart');
  const area = svg('path', { class: 'chart-area' });
  const line = svg('path', { class: 'chart-line' });
  const cursor = svg('path', { class: 'chart-cursor', visibility: 'hidden' });
  const plot = svg(
    'svg',
    {
      class: 'chart-plot',
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      preserveAspectRatio: 'none',
      'aria-hidden': 'true',
      focusable: 'false',
    },
    svg('path', { class: 'chart-rules', d: `M0 ${HEIGHT - 2}H${WIDTH}M0 2H${WIDTH}` }),
    area,
    line,
    cursor,
  );
  const now = h('span', { class: 'chart-now' }, NONE);
  const when = h('span', { class: 'chart-when' }, 'now');
  const lowest = h('dd', null, NONE);
  const highest = h('dd', null, NONE);
  const top = h('span', { class: 'chart-top', 'aria-hidden': 'true' });
  const element = h(
    'figure',
    { class: `chart ${tone}`, 'aria-labelledby': titleId },
    h('figcaption', { id: titleId, class: 'chart-title' }, title),
    h('p', { class: 'chart-value' }, now, ' ', when, top),
    plot,
    h(
      'dl',
      { class: 'chart-extent' },
      h('div', null, h('dt', null, 'lowest'), lowest),
      h('div', null, h('dt', null, 'highest'), highest),
    ),
  );

  let shown = [];
  let shownUntil = null;
  let pointer = null;

  element.update = (values, until) => {
    shown = values;
    shownUntil = until;
    const found = extent(values);
    const upper = nice(Math.max(found?.max ?? 0, least));
    const { line: linePath, area: areaPath } = paths(values, { capacity, top: upper });
    setAttribute(line, 'd', linePath);
    setAttribute(area, 'd', areaPath);
    setText(lowest, format(found?.min ?? null));
    setText(highest, format(found?.max ?? null));
    setText(top, found ? format(upper) : '');
    readOut(found?.last ?? null);
  };

  // Under the pointer: that sample and its time in place of the latest.
  function readOut(last) {
    const at = pointer === null ? null : sampleAt(pointer, shown.length, capacity);
    setAttribute(cursor, 'visibility', at === null ? 'hidden' : 'visible');
    if (at === null) {
      setText(now, format(last));
      setText(when, 'now');
      setAttribute(element, 'title', null);
      return;
    }
    const x = Math.round(pointer * WIDTH);
    setAttribute(cursor, 'd', `M${x} 0V${HEIGHT}`);
    setText(now, format(shown[at]));
    const instant = shownUntil === null ? null : shownUntil - (shown.length - 1 - at) * stepSeconds * 1000;
    setText(when, instant === null ? '' : clock(instant));
    // The pointer is on the line and not on the time, so the whole chart has the time in UTC.
    setAttribute(element, 'title', instant === null ? null : utc(instant));
  }

  plot.addEventListener('pointermove', (event) => {
    const box = plot.getBoundingClientRect();
    pointer = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
    readOut(shown.at(-1) ?? null);
  });
  plot.addEventListener('pointerleave', () => {
    pointer = null;
    readOut(shown.at(-1) ?? null);
  });
  return element;
}
