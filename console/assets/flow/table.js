// The drawing's twin: the same figures as two tables. Rows stay, only texts change, so that a reader who
// goes through the cells is not thrown out of them by each update.

import { stateBadge } from '../components/state-badge.js';
import { tableFrame } from '../components/table-frame.js';
import { h, replace, setAttribute, setText } from '../dom.js';
import { NONE, sentence } from '../format.js';
import { edgeCells, edgeSentence, edgesOf, nodesOf, silence, silenceInUtc } from './model.js';

const NODE_COLUMNS = ['Node', 'State', 'What it says', 'Figures'];
const EDGE_COLUMNS = ['From and to', 'Rate', 'Lag in records', 'Lag in time', 'p50', 'p99', 'Percentiles of'];

/**
 * @param {{onOpen: function(string), detailId: string}} options as for the drawing
 * @returns {HTMLElement} with `update(flow)` and `setOpen(id|null)`
 */
export function flowTable({ onOpen, detailId }) {
  const nodes = table('Nodes', NODE_COLUMNS);
  const edges = table('Edges', EDGE_COLUMNS);
  const nodeRows = new Map();
  const edgeRows = new Map();
  const element = h('div', { class: 'flow-tables' }, nodes.element, edges.element);

  element.update = (flow) => {
    const byId = nodesOf(flow);
    keep(nodeRows, byId, nodes.body, (node) => nodeRow(node, onOpen, detailId));
    for (const [id, node] of byId) nodeRows.get(id).update(node);
    const edgesById = edgesOf(flow);
    keep(edgeRows, edgesById, edges.body, () => edgeRow());
    for (const [id, edge] of edgesById) edgeRows.get(id).update(edge, byId);
  };
  element.setOpen = (open) => {
    for (const [id, row] of nodeRows) setAttribute(row.button, 'aria-expanded', String(id === open));
  };
  element.update(null);
  return element;
}

function table(caption, columns) {
  const body = h('tbody');
  const listed = h(
    'table',
    { class: 'table' },
    h('caption', { class: 'table-caption' }, caption),
    h('thead', null, h('tr', null, columns.map((label) => h('th', { scope: 'col' }, label)))),
    body,
  );
  return { element: tableFrame(caption, listed), body };
}

// Adds rows for what is new, and removes those of what is gone.
function keep(rows, wanted, body, build) {
  for (const [id, row] of rows) {
    if (wanted.has(id)) continue;
    row.element.remove();
    rows.delete(id);
  }
  for (const [id, value] of wanted) {
    if (rows.has(id)) continue;
    const row = build(value);
    rows.set(id, row);
    body.append(row.element);
  }
}

function nodeRow(node, onOpen, detailId) {
  const button = h('button', {
    type: 'button',
    class: 'link-button',
    'aria-expanded': 'false',
    'aria-controls': detailId,
    onclick: () => onOpen(node.id),
  });
  const badge = stateBadge(node.state);
  const said = h('td', { 'data-label': NODE_COLUMNS[2] });
  const figures = h('ul', { class: 'figure-list' });
  const element = h(
    'tr',
    null,
    h('th', { scope: 'row', 'data-label': NODE_COLUMNS[0] }, button),
    h('td', { 'data-label': NODE_COLUMNS[1] }, badge),
    said,
    h('td', { 'data-label': NODE_COLUMNS[3] }, figures),
  );
  return {
    element,
    button,
    update(next) {
      setText(button, next.label);
      badge.update(next.state);
      setText(said, sentence(next.sentence));
      const silent = silence(next);
      const texts = silent
        ? [`${NONE} ${silent}`]
        : (next.figures ?? []).map(({ label, value }) => `${value} ${label}`);
      if (figures.childElementCount !== texts.length) replace(figures, texts.map(() => h('li')));
      for (const [at, text] of texts.entries()) setText(figures.children[at], text);
      setAttribute(figures, 'title', silenceInUtc(next));
    },
  };
}

function edgeRow() {
  const name = h('th', { scope: 'row', 'data-label': EDGE_COLUMNS[0] });
  const cells = EDGE_COLUMNS.slice(1).map((label) => h('td', { 'data-label': label }));
  return {
    element: h('tr', null, name, cells),
    update(edge, nodes) {
      setText(name, edgeSentence(edge, nodes));
      for (const [at, text] of edgeCells(edge).entries()) setText(cells[at], text);
    },
  };
}
