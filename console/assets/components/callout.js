// A sentence that matters, with a shape and a colour that say how good it is.

import { h } from '../dom.js';
import { icon } from './icons.js';

const ICONS = { ok: 'done', warn: 'degraded', bad: 'not-ready', info: 'info', muted: 'unknown' };

/**
 * @param {{tone: 'ok'|'warn'|'bad'|'info'|'muted', title?: string, text?: string|Node|null, level?: number,
 *   actions?: Node[]}} content
 * @returns {HTMLElement}
 */
export function callout({ tone, title, text, level = 2, actions = [] }) {
  return h(
    'div',
    { class: `callout ${tone}` },
    icon(ICONS[tone] ?? 'unknown'),
    h(
      'div',
      { class: 'callout-body' },
      title ? h(`h${level}`, { class: 'callout-title' }, title) : null,
      text ? h('p', null, text) : null,
      actions.length > 0 ? h('div', { class: 'actions' }, actions) : null,
    ),
  );
}
