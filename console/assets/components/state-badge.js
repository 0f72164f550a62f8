// A state as a shape, a colour and a word, so that none of the three alone carries it.

import { h, replace } from '../dom.js';
import { icon } from './icons.js';

// state -> [icon, tone, word]. Tones are classes of app.css.
const STATES = {
  'ready': ['ready', 'ok', 'Ready'],
  'degraded': ['degraded', 'warn', 'Degraded'],
  'not-ready': ['not-ready', 'bad', 'Not ready'],
  'unreachable': ['unreachable', 'bad', 'Unreachable'],
  'unknown': ['unknown', 'muted', 'Unknown'],
  'live': ['ready', 'ok', 'Live'],
  'reconnecting': ['running', 'warn', 'Reconnecting'],
  'paused': ['pause', 'muted', 'Paused'],
  'running': ['running', 'info', 'Running'],
  'stopping': ['running', 'warn', 'Stopping'],
  'done': ['done', 'ok', 'Done'],
  'failed': ['unreachable', 'bad', 'Failed'],
  'stopped': ['stopped', 'muted', 'Stopped'],
  'waiting': ['running', 'info', 'Waiting'],
  'none': ['unknown', 'muted', 'None'],
  'critical': ['not-ready', 'bad', 'Critical'],
  'warning': ['degraded', 'warn', 'Warning'],
  'info': ['info', 'info', 'Note'],
};

/** Returns the tone ("ok", "warn", "bad", "info", "muted") of a state. */
export function toneOf(state) {
  return (STATES[state] ?? STATES.unknown)[1];
}

/** Returns the word for a state. */
export function wordOf(state) {
  return STATES[state]?.[2] ?? String(state);
}

/** Returns the icon of a state, in its colour. Its word must stand beside it. */
export function stateIcon(state) {
  const element = icon((STATES[state] ?? STATES.unknown)[0]);
  element.classList.add(toneOf(state));
  return element;
}

/**
 * Shows a state.
 *
 * @param {string} state one of the names above
 * @param {string} [label] instead of the state's word
 * @returns {HTMLElement} with `update(state, label)`
 */
export function stateBadge(state, label) {
  const element = h('span', { class: 'badge' });
  let shown = '';
  element.update = (next, nextLabel) => {
    const word = nextLabel ?? wordOf(next);
    const key = `${next} ${word}`;
    if (key === shown) return;
    shown = key;
    element.className = `badge ${toneOf(next)}`;
    element.dataset.state = next;
    replace(element, icon((STATES[next] ?? STATES.unknown)[0]), h('span', { class: 'badge-text' }, word));
  };
  element.update(state, label);
  return element;
}
