// The frame of a table, which scrolls when the table is wider than its place.

import { h } from '../dom.js';

/**
 * @param {string} label what the table lists, for readers who reach the frame by keyboard
 * @param {...Node} content
 * @returns {HTMLElement}
 */
export function tableFrame(label, ...content) {
  const frame = h('div', { class: 'table-frame' }, content);
  // Only a frame that scrolls takes the focus, so that the Tab key does not stop at every table.
  const sized = new ResizeObserver(() => {
    const scrolls = frame.scrollWidth > frame.clientWidth;
    if (scrolls === frame.hasAttribute('tabindex')) return;
    if (scrolls) {
      frame.tabIndex = 0;
      frame.setAttribute('role', 'group');
      frame.setAttribute('aria-label', label);
    } else {
      for (const name of ['tabindex', 'role', 'aria-label']) frame.removeAttribute(name);
    }
  });
  sized.observe(frame);
  for (const element of content) sized.observe(element);
  return frame;
}
