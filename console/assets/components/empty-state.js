// A placeholder for an empty list or picture: why it is empty, and what to do.

import { h } from '../dom.js';

/**
 * @param {{title: string, text?: string|Node|Array, actions?: Node[], level?: number}} content
 * @returns {HTMLElement}
 */
export function emptyState({ title, text, actions = [], level = 2 }) {
  return h(
    'div',
    { class: 'empty' },
    h(`h${level}`, { class: 'empty-title' }, title),
    text ? h('p', { class: 'empty-text' }, text) : null,
    actions.length > 0 ? h('div', { class: 'actions' }, actions) : null,
  );
}
