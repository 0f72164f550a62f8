// A table of records. Below 700 px each row becomes a block with the column's name before each value.

import { h, replace } from '../dom.js';
import { tableFrame } from './table-frame.js';

/**
 * @param {object} options
 * @param {string} options.caption what the table lists; hidden from view unless `showCaption`
 * @param {Array<{label: string, cell: function(row): (Node|string|null), numeric?: boolean,
 *   header?: boolean, hidden?: boolean}>} options.columns `header`: the cell that names its row; `hidden`:
 *   the column's label is for screen readers only
 * @param {Array} [options.rows]
 * @param {Node} [options.empty] stands instead of the table when there are no rows
 * @param {function(row): string} [options.rowClass]
 * @returns {HTMLElement} with `update(rows)`
 */
export function dataTable({ caption, showCaption = false, columns, rows = [], empty, rowClass }) {
  const body = h('tbody');
  const table = h(
    'table',
    { class: 'table' },
    h('caption', { class: showCaption ? 'table-caption' : 'visually-hidden' }, caption),
    h(
      'thead',
      null,
      h(
        'tr',
        null,
        columns.map((column) =>
          h(
            'th',
            { scope: 'col', class: column.numeric ? 'numeric' : null },
            column.hidden ? h('span', { class: 'visually-hidden' }, column.label) : column.label,
          ),
        ),
      ),
    ),
    body,
  );
  const element = tableFrame(caption, table);
  element.update = (next) => {
    if (next.length === 0 && empty) {
      replace(element, empty);
      return;
    }
    replace(body, next.map((row) => tableRow(row, columns, rowClass)));
    if (table.parentNode !== element) replace(element, table);
  };
  element.update(rows);
  return element;
}

function tableRow(row, columns, rowClass) {
  return h(
    'tr',
    { class: rowClass?.(row) },
    columns.map((column) =>
      h(
        column.header ? 'th' : 'td',
        {
          scope: column.header ? 'row' : null,
          class: column.numeric ? 'numeric' : null,
          'data-label': column.hidden ? null : column.label,
        },
        column.cell(row),
      ),
    ),
  );
}
