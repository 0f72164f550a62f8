// A list of dead letters that can be selected.

import { path } from '../api.js';
import { dataTable } from '../components/data-table.js';
import { stateBadge } from '../components/state-badge.js';
import { timeElement } from '../components/time.js';
import { h, replace } from '../dom.js';
import { number, plural } from '../format.js';
import { keyText, orderOfKey } from '../models/dead-letters.js';
import { isOpen, outcomeText } from '../models/redriven.js';

/** The number of dead letters that are shown at once. The reader can ask for more. */
const PAGE = 20;

/**
 * @param {string} service
 * @param {Array} letters
 * @param {Set<string>} selected ids; it is changed as the reader selects
 * @param {function()} onSelect
 * @returns {HTMLElement} with `showSelection()`, for when the set was changed elsewhere
 */
export function lettersTable(service, letters, selected, onSelect) {
  let shown = Math.min(PAGE, letters.length);
  let boxes = new Map();
  const element = h('div', { class: 'section' });

  function build() {
    boxes = new Map();
    const table = dataTable({
      caption: `Dead letters of the ${service}`,
      columns: columns(service, box),
      rows: letters.slice(0, shown),
      rowClass: ({ letter }) => (selected.has(letter) ? 'selected' : null),
    });
    replace(element, table, more());
    element.showSelection();
  }

  function box({ letter, state }) {
    if (!isOpen(state)) return null;
    const input = h('input', {
      type: 'checkbox',
      'aria-label': `Select ${letter}`,
      checked: selected.has(letter),
    });
    input.addEventListener('change', () => {
      if (input.checked) selected.add(letter);
      else selected.delete(letter);
      element.showSelection();
      onSelect();
    });
    boxes.set(letter, input);
    return input;
  }

  function more() {
    const left = letters.length - shown;
    if (left <= 0) return null;
    return h(
      'div',
      { class: 'actions' },
      h(
        'button',
        {
          type: 'button',
          class: 'button',
          onclick: () => {
            const first = letters[shown].letter;
            shown = Math.min(shown + PAGE, letters.length);
            build();
            // The button is gone or has moved: focus the first of the new rows.
            boxes.get(first)?.focus();
          },
        },
        `Show ${Math.min(PAGE, left)} more`,
      ),
      h(
        'span',
        { class: 'muted' },
        `${number(shown)} of ${plural(letters.length, 'dead letter is', 'dead letters are')} shown.`,
      ),
    );
  }

  element.showSelection = () => {
    for (const [letter, input] of boxes) {
      input.checked = selected.has(letter);
      input.closest('tr')?.classList.toggle('selected', input.checked);
    }
  };
  build();
  return element;
}

function columns(service, box) {
  return [
    { label: 'Select', hidden: true, cell: box },
    {
      label: 'Dead letter',
      header: true,
      cell: ({ letter }) => h('a', { class: 'mono', href: path`/dead-letters/${service}/${letter}` }, letter),
    },
    { label: 'Order', cell: ({ key }) => orderLink(key) },
    { label: 'What was found', cell: found },
    { label: 'Attempts', numeric: true, cell: ({ attempts }) => number(attempts) },
    { label: 'Written', cell: ({ written }) => h('span', { class: 'age' }, timeElement(written, 'ago')) },
  ];
}

/** Returns the key of a record, as a link to its order where it can be an order's id. */
export function orderLink(key) {
  const order = orderOfKey(key);
  const text = keyText(key);
  return order === null
    ? h('span', { class: 'mono order-key' }, text)
    : h('a', { class: 'mono order-key', href: path`/orders/${order}` }, text);
}

function found({ reason, message, state }) {
  const words = h('div', null, h('code', { class: 'reason' }, reason), ` ${message}`);
  if (!state) return words;
  const badge = isOpen(state) ? null : stateBadge('done', 'Closed');
  return h(
    'div',
    null,
    words,
    h(
      'div',
      { class: 'muted small' },
      badge,
      badge ? ' ' : null,
      outcomeText(state, message),
      state.by ? ` By ${state.by}.` : null,
    ),
  );
}
