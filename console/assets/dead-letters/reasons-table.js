// The reasons of dead letters: one row for each, with its open dead letters to select or redrive.

import { dataTable } from '../components/data-table.js';
import { timeElement } from '../components/time.js';
import { h } from '../dom.js';
import { number } from '../format.js';
import { reasonAdvice, reasonSentence } from '../models/reasons.js';

/**
 * @param {object} options
 * @param {string} options.service
 * @param {Array} options.reasons of `reasonsOf`
 * @param {Set<string>} options.selected ids; it is changed as the reader selects
 * @param {string|null} options.only the reason whose dead letters are listed below, if it is one
 * @param {function()} options.onSelect
 * @param {function(string|null)} options.onOnly
 * @param {function(string)} options.onRedrive
 * @param {string} options.redriveLabel
 * @returns {HTMLElement} with `showSelection()`
 */
export function reasonsTable({
  service,
  reasons,
  selected,
  only,
  onSelect,
  onOnly,
  onRedrive,
  redriveLabel,
}) {
  const boxes = new Map();

  function box({ reason, ids }) {
    if (ids.length === 0) return null;
    const input = h('input', { type: 'checkbox', 'aria-label': `Select all open dead letters of ${reason}` });
    input.addEventListener('change', () => {
      for (const id of ids) {
        if (input.checked) selected.add(id);
        else selected.delete(id);
      }
      onSelect();
    });
    boxes.set(input, ids);
    return input;
  }

  const element = dataTable({
    caption: `Reasons of the dead letters of the ${service}`,
    rows: reasons,
    rowClass: ({ reason }) => (reason === only ? 'selected' : null),
    columns: [
      { label: 'Select', hidden: true, cell: box },
      { label: 'Reason', header: true, cell: ({ reason }) => reasonCell(reason, only, onOnly) },
      {
        label: 'Open',
        numeric: true,
        cell: ({ open }) => h('strong', { class: open > 0 ? 'bad' : 'muted' }, number(open)),
      },
      { label: 'Closed', numeric: true, cell: ({ closed }) => h('span', { class: 'muted' }, number(closed)) },
      { label: 'Oldest open', cell: ({ oldest, isPartial }) => h('div', null, age(oldest, isPartial)) },
      { label: 'Newest open', cell: ({ newest }) => h('div', null, age(newest)) },
      {
        label: 'Action',
        hidden: true,
        cell: ({ reason, open }) =>
          open === 0
            ? null
            : h(
                'button',
                {
                  type: 'button',
                  class: 'button small',
                  'aria-label': `${redriveLabel} all open dead letters of ${reason}`,
                  onclick: () => onRedrive(reason),
                },
                `${redriveLabel} all …`,
              ),
      },
    ],
  });
  element.showSelection = () => {
    for (const [input, ids] of boxes) {
      const count = ids.filter((id) => selected.has(id)).length;
      input.checked = count === ids.length;
      input.indeterminate = count > 0 && count < ids.length;
    }
  };
  element.showSelection();
  return element;
}

function reasonCell(reason, only, onOnly) {
  const isOnly = reason === only;
  return h(
    'div',
    { class: 'reason-cell' },
    h(
      'button',
      {
        type: 'button',
        class: 'link-button mono',
        'aria-pressed': String(isOnly),
        title: isOnly ? 'List all reasons again' : 'List only these below',
        onclick: () => onOnly(isOnly ? null : reason),
      },
      reason,
    ),
    h(
      'span',
      { class: 'reason-words' },
      reasonSentence(reason),
      ' ',
      h('span', { class: 'muted' }, reasonAdvice(reason)),
    ),
  );
}

// Those that are listed are the newest, so the oldest of them may not be the oldest of all.
function age(instant, isPartial = false) {
  const element = h('span', { class: 'age' }, timeElement(instant, 'ago'));
  return isPartial && instant ? [element, h('div', { class: 'muted small' }, 'of those listed')] : element;
}
