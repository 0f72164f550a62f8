// The strip with what is wrong, worst first. It is announced when a warning appears, not while it stays.

import { announce } from '../components/announce.js';
import { stateBadge } from '../components/state-badge.js';
import { h, replace } from '../dom.js';
import { plural } from '../format.js';

const MOST = 20;
const LOOKS = { critical: 'critical', warning: 'caution', info: 'info' };

/**
 * @param {{onOpen: function(string)}} options called with the node of a warning
 * @returns {HTMLElement} with `update(flow)`
 */
export function warningStrip({ onOpen }) {
  const element = h('section', { class: 'warnings', 'aria-label': 'What is wrong' });
  let shown = null;
  let known = null;

  element.update = (flow) => {
    const all = flow?.warnings ?? [];
    const key = flow ? JSON.stringify(all) : 'none';
    if (key === shown) return;
    shown = key;
    announceNew(all);
    keepFocus(element, () => replace(element, content(flow, all, onOpen)));
  };

  // A warning is the same one although the numbers in its text change.
  function announceNew(all) {
    const identities = new Set(all.map(identity));
    const before = known;
    known = identities;
    if (!before) return;
    const fresh = all.filter((warning) => !before.has(identity(warning)));
    if (fresh.length > 0) announce(fresh[0].text);
    else if (all.length === 0 && before.size > 0) announce('Nothing is wrong any more.');
  }
  element.update(null);
  return element;
}

function identity(warning) {
  return `${warning.severity} ${warning.node} ${warning.text.replace(/[\d.,]+/g, '#')}`;
}

function content(flow, all, onOpen) {
  if (!flow) return h('p', { class: 'warning calm' }, stateBadge('waiting', 'Asking the services'));
  if (all.length === 0) {
    return h(
      'p',
      { class: 'warning calm' },
      stateBadge('ready', 'Nothing is wrong'),
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
    h('span', { class: 'warning-text' }, warning.text),
    warning.node
      ? h(
          'button',
          { type: 'button', class: 'link-button', dataset: { key: identity(warning) }, onclick: () => onOpen(warning.node) },
          `Open ${warning.node}`,
        )
      : null,
  ];
}

function keepFocus(element, rebuild) {
  const key = element.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  rebuild();
  if (!key) return;
  const again = [...element.querySelectorAll('button[data-key]')].find((button) => button.dataset.key === key);
  again?.focus({ preventScroll: true });
}
