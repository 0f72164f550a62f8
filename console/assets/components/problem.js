// A failure: what happened, and what to do.

import { problemOf } from '../api.js';
import { h } from '../dom.js';
import { sentence } from '../format.js';
import { icon } from './icons.js';

/**
 * Shows a failure. It is an alert: a screen reader says it when it appears.
 *
 * @param {unknown} error a RequestError, or anything that was thrown
 * @param {{retry?: function, hint?: string|Node, level?: number}} [options] `retry` adds a button "Try
 *   again"; `hint` says what to do when the problem's own detail does not
 * @returns {HTMLElement}
 */
export function problemBox(error, { retry, hint, level = 2 } = {}) {
  const problem = problemOf(error);
  const { title, detail } = problem;
  return h(
    'div',
    { class: 'problem', role: 'alert' },
    icon('not-ready'),
    h(
      'div',
      { class: 'problem-body' },
      h(`h${level}`, { class: 'problem-title' }, title || 'The request failed'),
      detail && detail !== title ? h('p', { class: 'problem-detail' }, sentence(detail)) : null,
      hint ? h('p', { class: 'problem-hint' }, hint) : null,
      retry
        ? h(
            'div',
            { class: 'actions' },
            h('button', { type: 'button', class: 'button', onclick: retry }, 'Try again'),
          )
        : null,
    ),
  );
}

/** Shows that something is being fetched. `label` is a sentence such as "Reading the records of 17". */
export function loading(label) {
  return h('p', { class: 'loading' }, icon('running'), h('span', null, `${label} …`));
}
