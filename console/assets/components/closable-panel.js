// A card that shows what became of an action, until the reader closes it.

import { h, uniqueId } from '../dom.js';

/**
 * @param {object} options
 * @param {string} options.title such as "Redrive 3 dead letters"
 * @param {function()} options.onClose is called when the reader closes the panel
 * @param {...Node} children
 * @returns {HTMLElement} with `focusTitle()`, for when it is in the document
 */
export function closablePanel({ title, onClose }, ...children) {
  const headingId = uniqueId('panel');
  const heading = h('h2', { id: headingId, tabindex: '-1' }, title);
  const element = h(
    'section',
    { class: 'card panel', 'aria-labelledby': headingId },
    h(
      'div',
      { class: 'view-head' },
      heading,
      h('button', { type: 'button', class: 'button quiet small', onclick: onClose }, 'Close'),
    ),
    children,
  );
  element.focusTitle = () => heading.focus();
  return element;
}
