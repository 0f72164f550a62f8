// What was searched for an order and what was not, with the wider searches.

import { explainCommand } from '../commands.js';
import { commandLine } from '../components/command-line.js';
import { stateBadge } from '../components/state-badge.js';
import { h } from '../dom.js';
import { commandOptions, extentTexts, isSearched, missingTexts, widerThan } from '../models/order-search.js';

const LABELS = {
  scan: 'Read its partitions completely',
  all: 'Search every partition',
};

/**
 * Says what was not searched; nothing when everything was read in which the order's records are expected.
 *
 * @param {object} found the JSON of explain
 * @param {{reach: string|null, onSearch: function(string)}} options
 */
export function searchCard(found, options) {
  const missing = missingTexts(found);
  const texts = isSearched(found) ? missing : [...extentTexts(found), ...missing];
  if (texts.length === 0) return null;
  const title = isSearched(found) ? 'Records are gone' : 'Not everything was searched';
  return h(
    'section',
    { class: 'card gaps', 'aria-label': title },
    h('h2', null, stateBadge('warning', title)),
    h(
      'ul',
      null,
      texts.map((text) => h('li', null, text)),
    ),
    isSearched(found) ? null : searches(found, options),
  );
}

/** Shows what was searched in one line, and the wider searches folded below it. */
export function searchFoot(found, options) {
  if (!isSearched(found)) return null;
  const wider = searches(found, options);
  return h(
    'div',
    null,
    h('p', { class: 'muted small' }, extentTexts(found).join(' ')),
    wider ? h('details', { class: 'details' }, h('summary', null, 'Search further'), wider) : null,
  );
}

function searches(found, { reach, onSearch }) {
  const wider = widerThan(found, reach);
  if (wider.length === 0) return null;
  return h(
    'div',
    { class: 'section' },
    wider.map((one) => [
      h(
        'div',
        { class: 'actions' },
        h('button', { type: 'button', class: 'button', onclick: () => onSearch(one) }, LABELS[one]),
      ),
      commandLine(explainCommand(found.order_id, commandOptions(one))),
    ]),
  );
}
