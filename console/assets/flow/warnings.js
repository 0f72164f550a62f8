// The strip with what is wrong, worst first. It is announced when a warning appears, not while it stays.

import { announce } from '../components/announce.js';
import { keepFocus } from '../components/keep-focus.js';
import { stateBadge } from '../components/state-badge.js';
import { h, replace } from '../dom.js';
import { plural } from '../format.js';
import { LISTS, unknownServices } from './model.js';

const MOST = 20;
const LOOKS = { critical: 'critical', warning: 'caution', info: 'info' };

/**
 * @param {{onOpen: function(string)}} options called with the node of a warning
 * @returns {HTMLElement} with `update(flow, {quiet, lost})`; `quiet`: nothing has flowed as far as the
 *   charts reach; `lost`: the console does not answer, and the flow is its last one
 */
export function warningStrip({ onOpen }) {
  // Before the first answer of the services nothing is known to be right either.
  const isKnown = (flow) => flow !== null && !(flow.stale && flow.warnings.length === 0);
  const element = h('section', { class: 'warnings', 'aria-label': 'What is wrong' });
  let shown = null;
  let before = null;

  element.update = (flow, { quiet = false, lost = false } = {}) => {
    const all = flow?.warnings ?? [];
    const known = isKnown(flow);
    const unknown = known ? unknownServices(flow) : [];
    const key = known ? JSON.stringify([quiet, all, unknown.map(({ id }) => id)]) : `unknown ${lost}`;
    if (key === shown) return;
    shown = key;
    if (known) announceNew(all);
    keepFocus(element, () => replace(element, content({ known, quiet, unknown, lost }, all, onOpen)));
  };

  // A warning is the same one although the numbers in its text change.
  function announceNew(all) {
    const identities = new Set(all.map(identity));
    const earlier = before;
    before = identities;
    if (!earlier) return;
    const fresh = all.filter((warning) => !earlier.has(identity(warning)));
    if (fresh.length > 0) announce(fresh[0].text);
    else if (![...identities].some(isFault) && [...earlier].some(isFault)) announce('Nothing is wrong any more.');
  }
  element.update(null);
  return element;
}

function identity(warning) {
  return `${warning.severity} ${warning.node} ${warning.text.replace(/[\d.,]+/g, '#')}`;
}

// What is only worth knowing, such as dead letters that are open, is nothing that is wrong.
function isFault(identified) {
  return !identified.startsWith('info ');
}

function content({ known, quiet, unknown, lost }, all, onOpen) {
  if (!known && lost) {
    return h(
      'p',
      { class: 'warning' },
      stateBadge('unknown', 'Nothing is known'),
      h('span', { class: 'warning-text' }, 'The console does not answer. It is asked again by itself.'),
    );
  }
  if (!known) return h('p', { class: 'warning calm' }, stateBadge('waiting', 'Asking the services'));
  if (all.length === 0 && unknown.length > 0) {
    const names = unknown.map(({ label }) => label).join(', ');
    return h(
      'p',
      { class: 'warning' },
      stateBadge('unknown', 'Not everything is known'),
      h('span', { class: 'warning-text' }, `No instance answers for: ${names}. Open the node to see why.`),
      h('button', { type: 'button', class: 'link-button', onclick: () => onOpen(unknown[0].id) }, `Open ${unknown[0].label}`),
    );
  }
  if (all.length === 0) {
    return h(
      'p',
      { class: 'warning calm' },
      stateBadge('ready', 'Nothing is wrong'),
      // What a newcomer sees first. It has one line like everything here, so that its end moves nothing.
      quiet ? h('span', { class: 'warning-text' }, 'Nothing is flowing.') : null,
      quiet ? h('a', { href: '/try' }, 'Place an order') : null,
    );
  }
  return h(
    'ul',
    { class: 'warning-list' },
    all.slice(0, MOST).map((warning) => h('li', { class: `warning ${LOOKS[warning.severity] ?? ''}` }, one(warning, onOpen))),
    all.length > MOST
      ? h('li', { class: 'warning' }, `${plural(all.length - MOST, 'more warning', 'more warnings')}`)
      : null,
  );
}

function one(warning, onOpen) {
  return [
    stateBadge(warning.severity),
    h(
      'span',
      { class: 'warning-text' },
      warning.text,
      warning.help ? h('span', { class: 'warning-help' }, 'See ', h('code', null, warning.help), '.') : null,
    ),
    warning.node ? wayOn(warning, onOpen) : null,
  ];
}

// Dead letters that are open wait in their list; those that come now are figures of their node, too.
function wayOn({ severity, node }, onOpen) {
  if (severity === 'info' && LISTS[node]) return h('a', { href: LISTS[node] }, 'Look at them');
  return h('button', { type: 'button', class: 'link-button', onclick: () => onOpen(node) }, `Open ${node}`);
}
