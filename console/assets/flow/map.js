// The drawing: a card for each node, the figures of each edge between the cards, and the lines below them.
//
// Cards and figures are HTML in a grid, so that texts keep their size and wrap at every width, and the
// style sheet alone decides between one row, two rows and a list. The lines are one SVG behind them, drawn
// anew when the layout changes, not when numbers do.

import { toneOf, wordOf, stateIcon } from '../components/state-badge.js';
import { h, replace, setAttribute, setText, svg } from '../dom.js';
import { plural } from '../format.js';
import { BEHIND_SECONDS, cardFigure, EDGES, edgeLook, edgesOf, edgeTexts, edgeWidth, NODES, nodesOf, silenceInUtc } from './model.js';
import { route } from './geometry.js';

const LINES = 4;

/**
 * @param {{onOpen: function(string), detailId: string, signal: AbortSignal}} options `onOpen` is called
 *   with a node's id; `detailId`: the element that shows an open node
 * @returns {HTMLElement} with `update(flow)` and `setOpen(id|null)`
 */
export function flowMap({ onOpen, detailId, signal }) {
  const lines = svg('svg', { class: 'flow-lines', 'aria-hidden': 'true', focusable: 'false' });
  const cards = new Map(NODES.map((node) => [node.id, card(node, onOpen, detailId)]));
  const edges = new Map(EDGES.map((edge) => [edge.id, edgeFigures(edge, lines)]));
  const grid = h('div', { class: 'flow-grid' }, lines, inPathOrder(cards, edges));
  const element = h('div', { class: 'flow-map', role: 'group', 'aria-label': 'The path of an order' }, grid, legend());

  function draw() {
    const box = grid.getBoundingClientRect();
    if (box.width === 0) return;
    setAttribute(lines, 'viewBox', `0 0 ${box.width} ${box.height}`);
    const stacked = getComputedStyle(grid).getPropertyValue('--layout').trim() === 'list';
    for (const edge of EDGES) {
      const path = route(within(cards.get(edge.from).element, box), within(cards.get(edge.to).element, box), {
        stacked,
        branch: Boolean(edge.branch),
      });
      edges.get(edge.id).place(path);
    }
  }

  const observer = new ResizeObserver(draw);
  observer.observe(grid);
  for (const { element: observed } of cards.values()) observer.observe(observed);
  signal.addEventListener('abort', () => observer.disconnect());

  element.update = (flow) => {
    for (const [id, node] of nodesOf(flow)) cards.get(id)?.update(node);
    for (const [id, edge] of edgesOf(flow)) edges.get(id)?.update(edge);
  };
  element.setOpen = (open) => {
    for (const [id, { element: button }] of cards) {
      setAttribute(button, 'aria-expanded', String(id === open));
    }
  };
  element.update(null);
  return element;
}

function legend() {
  return h(
    'p',
    { class: 'legend' },
    `A thicker line carries more each second. A dashed line is at least ${BEHIND_SECONDS} s late. Select a node to open it.`,
  );
}

// The order in the document is the order of the path, which is the order of the Tab key and of a screen
// reader, and the order of the list on a narrow screen.
function inPathOrder(cards, edges) {
  const children = [];
  for (const node of NODES) {
    for (const edge of EDGES) if (edge.to === node.id) children.push(edges.get(edge.id).element);
    children.push(cards.get(node.id).element);
  }
  return children;
}

function card(node, onOpen, detailId) {
  const label = h('span', { class: 'node-label' }, breakable(node.label));
  const state = h('span', { class: 'node-state' });
  const value = h('span', { class: 'node-value' });
  const name = h('span', { class: 'node-figure-label' });
  const count = h('span', { class: 'node-count' });
  const element = h(
    'button',
    {
      type: 'button',
      class: `node ${node.kind}`,
      'aria-expanded': 'false',
      'aria-controls': detailId,
      dataset: { node: node.id },
      onclick: () => onOpen(node.id),
    },
    h('span', { class: 'node-head' }, label, state),
    h('span', { class: 'node-figure' }, value, ' ', name, ' ', count),
  );
  let shown = null;
  return {
    element,
    update(next) {
      if (next.state !== shown) {
        shown = next.state;
        element.dataset.tone = toneOf(next.state);
        replace(state, stateIcon(next.state), h('span', { class: 'visually-hidden' }, wordOf(next.state)));
        setAttribute(state, 'title', wordOf(next.state));
      }
      const instances = next.instances.length;
      setText(count, instances > 1 ? `×${instances}` : '');
      setAttribute(count, 'title', instances > 1 ? plural(instances, 'instance', 'instances') : null);
      const figure = cardFigure(next);
      setText(value, figure?.value ?? '');
      setText(name, figure?.label ?? '');
      setAttribute(name, 'title', silenceInUtc(next));
      element.classList.toggle('silent', Boolean(next.no_data_since));
    },
  };
}

// A topic's name may break after its dots and hyphens.
function breakable(label) {
  return label.split(/(?<=[.-])/).flatMap((part, at) => (at === 0 ? [part] : [h('wbr'), part]));
}

function edgeFigures(edge, lines) {
  const line = svg('path', { class: 'edge-line' });
  const arrow = svg('path', { class: 'edge-arrow' });
  const group = svg('g', { class: 'edge' }, line, arrow);
  lines.append(group);
  const rate = h('span', { class: 'edge-rate' });
  const carries = h('span', { class: 'edge-carries' }, edge.carries);
  const others = Array.from({ length: LINES }, () => h('span', { class: 'edge-more' }));
  const element = h(
    'div',
    { class: `edge-figures${edge.branch ? ' branch' : ''}`, dataset: { edge: edge.id } },
    h('span', { class: 'edge-above' }, rate, ' ', carries),
    h('span', { class: 'edge-below', title: edge.latency ? `p50 and p99: ${edge.latency}` : null }, others),
  );
  return {
    element,
    place(path) {
      setAttribute(line, 'd', path.line);
      setAttribute(arrow, 'd', path.arrow);
    },
    update(next) {
      const texts = edgeTexts(next);
      const look = edgeLook(next);
      setAttribute(group, 'data-look', look);
      setAttribute(element, 'data-look', look);
      setAttribute(line, 'stroke-width', edgeWidth(next));
      setText(rate, texts.rate);
      for (const [at, other] of others.entries()) {
        const shown = texts.lines[at];
        setText(other, shown?.text);
        other.hidden = !shown;
        other.classList.toggle('lag', Boolean(shown?.isLag));
      }
    },
  };
}

function within(element, box) {
  const own = element.getBoundingClientRect();
  return {
    left: own.left - box.left,
    right: own.right - box.left,
    top: own.top - box.top,
    bottom: own.bottom - box.top,
  };
}
