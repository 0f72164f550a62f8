// The drawing's twin: the same figures as two tables.

import { dataTable } from '../components/data-table.js';
import { stateBadge } from '../components/state-badge.js';
import { h, replace } from '../dom.js';
import { edgeCells, edgeSentence, edgesOf, nodesOf } from './model.js';

const EDGE_COLUMNS = ['Rate', 'Records waiting', 'Time late', 'p50', 'p99'];

/**
 * @param {{onOpen: function(string), detailId: string}} options as for the drawing
 * @returns {HTMLElement} with `update(flow)` and `setOpen(id|null)`
 */
export function flowTable({ onOpen, detailId }) {
  const nodes = dataTable({
    caption: 'Nodes',
    showCaption: true,
    columns: [
      { label: 'Node', header: true, cell: (node) => nodeButton(node) },
      { label: 'State', cell: (node) => stateBadge(node.state) },
      { label: 'What it says', cell: (node) => node.sentence ?? '' },
      { label: 'Figures', cell: figures },
    ],
  });
  const edges = dataTable({
    caption: 'Edges',
    showCaption: true,
    columns: [
      { label: 'From and to', header: true, cell: ({ name }) => name },
      ...EDGE_COLUMNS.map((label, at) => ({ label, numeric: true, cell: ({ cells }) => cells[at] })),
    ],
  });
  const element = h('div', { class: 'flow-tables' }, nodes, edges);
  let open = null;
  let nodesShown = '';
  let edgesShown = '';

  function nodeButton(node) {
    return h(
      'button',
      {
        type: 'button',
        class: 'link-button',
        'aria-expanded': String(node.id === open),
        'aria-controls': detailId,
        dataset: { node: node.id },
        onclick: () => onOpen(node.id),
      },
      node.label,
    );
  }

  element.update = (flow) => {
    const byId = nodesOf(flow);
    const list = [...byId.values()];
    // Rows are built anew only when something in them differs, and the focus stays where it is.
    const nodesKey = JSON.stringify([open, list]);
    if (nodesKey !== nodesShown) {
      nodesShown = nodesKey;
      keepFocus(nodes, () => nodes.update(list));
    }
    const rows = [...edgesOf(flow).values()].map((edge) => ({
      name: edgeSentence(edge, byId),
      cells: edgeCells(edge),
    }));
    const edgesKey = JSON.stringify(rows);
    if (edgesKey !== edgesShown) {
      edgesShown = edgesKey;
      edges.update(rows);
    }
  };
  element.setOpen = (id) => {
    open = id;
    for (const button of nodes.querySelectorAll('button[data-node]')) {
      button.setAttribute('aria-expanded', String(button.dataset.node === id));
    }
  };
  return element;
}

function figures(node) {
  const all = node.figures ?? [];
  if (all.length === 0) return '';
  const list = h('ul', { class: 'figure-list' });
  replace(list, all.map(({ label, value }) => h('li', null, `${value} ${label}`)));
  return list;
}

function keepFocus(parent, rebuild) {
  const id = parent.contains(document.activeElement) ? document.activeElement.dataset.node : null;
  rebuild();
  if (!id) return;
  for (const button of parent.querySelectorAll('button[data-node]')) {
    if (button.dataset.node === id) button.focus({ preventScroll: true });
  }
}
