// An open node: what it says, its figures, and every instance with its parts.

import { facts } from '../components/facts.js';
import { icon } from '../components/icons.js';
import { keepFocus } from '../components/keep-focus.js';
import { stateBadge } from '../components/state-badge.js';
import { h, replace, setText } from '../dom.js';
import { plural, sentence } from '../format.js';
import { LISTS, nodesOf, silence, silenceInUtc } from './model.js';

// What a node is, and where a reader goes on from it.
const ABOUT = {
  'ingress': {
    text: 'Takes orders over HTTP and commits each order together with its event.',
    links: [['/try', 'Place an order']],
  },
  'outbox': { text: 'Events that are committed and not yet published. The relay reads it and deletes what is in Kafka.' },
  'order-status': { text: 'The topic with every status of every order.', links: [['/orders', 'Find an order']] },
  'processor': {
    text: 'Turns each eligible order into one voucher, exactly once.',
    links: [['/replay', 'Replay a range'], ['/runs', 'Runs']],
  },
  'vouchers': { text: 'The topic with every voucher.' },
  'sink': { text: 'Writes vouchers into Postgres.' },
  'postgres': { text: 'The table with one row for each campaign and order.' },
  'order-status.dlq': {
    text: 'Records that the processor could not use, with their original bytes.',
    links: [[LISTS['order-status.dlq'], 'Look at them']],
  },
  'vouchers.dlq': {
    text: 'Voucher records that the sink could not write, with their original bytes.',
    links: [[LISTS['vouchers.dlq'], 'Look at them']],
  },
};

/**
 * @param {{id: string, onClose: function()}} options
 * @returns {HTMLElement} with `update(flow)` and `show(node id|null)`
 */
export function nodeDetail({ id, onClose }) {
  const element = h('section', { class: 'card node-detail', id, hidden: true, 'aria-label': 'The open node' });
  let open = null;
  let flow = null;
  let shown = '';
  let figures = [];

  function render() {
    const node = open && nodesOf(flow).get(open);
    if (!node) return;
    // The numbers change each second; the rest is built anew only when a state or a sentence does.
    const key = JSON.stringify({ ...node, figures: node.figures.map(({ label }) => label) });
    if (key !== shown && !isSelected(element)) {
      shown = key;
      figures = node.figures.map(() => h('span'));
      keepFocus(element, () => replace(element, content(node, figures, onClose)));
    }
    for (const [at, { value }] of node.figures.entries()) if (figures[at]) setText(figures[at], value);
  }

  element.update = (next) => {
    flow = next;
    render();
  };
  element.show = (next) => {
    open = next;
    shown = '';
    element.hidden = next === null;
    if (next === null) replace(element);
    render();
  };
  return element;
}

// Whoever has selected an address to copy it keeps the selection.
function isSelected(element) {
  const selection = getSelection();
  return Boolean(selection) && !selection.isCollapsed && element.contains(selection.anchorNode);
}

function content(node, figures, onClose) {
  const about = ABOUT[node.id] ?? {};
  const silent = silence(node);
  return [
    h(
      'div',
      { class: 'detail-head' },
      h('h2', null, node.label),
      stateBadge(node.state),
      h(
        'button',
        { type: 'button', class: 'button quiet icon-button', 'aria-label': `Close ${node.label}`, onclick: onClose },
        icon('close'),
      ),
    ),
    about.text ? h('p', { class: 'muted' }, about.text) : null,
    node.sentence ? h('p', { class: 'detail-sentence' }, sentence(node.sentence)) : null,
    silent ? h('p', { class: 'muted', title: silenceInUtc(node) }, sentence(silent)) : null,
    figures.length > 0 ? facts(node.figures.map(({ label }, at) => [capital(label), figures[at]])) : null,
    node.kind === 'service' ? instances(node) : null,
    about.links
      ? h('div', { class: 'actions' }, about.links.map(([href, label]) => h('a', { class: 'button', href }, label)))
      : null,
  ];
}

// In the drawing a label follows its number; here it stands above it.
function capital(label) {
  return label.charAt(0).toUpperCase() + label.slice(1);
}

function instances(node) {
  if (node.instances.length === 0) {
    return h('p', { class: 'muted' }, `No instance of ${node.label} is known. The console asks the addresses it was given at its start.`);
  }
  return h(
    'div',
    { class: 'instances' },
    h('h3', null, plural(node.instances.length, 'instance', 'instances')),
    h('ul', { class: 'instance-list' }, node.instances.map((instance) => h('li', { class: 'instance' }, instanceParts(instance)))),
  );
}

function instanceParts(instance) {
  return [
    h('div', { class: 'instance-head' }, h('span', { class: 'mono' }, instance.address), stateBadge(instance.state)),
    instance.sentence && !(instance.parts?.length > 0) ? h('p', { class: 'part-sentence' }, instance.sentence) : null,
    instance.parts?.length > 0
      ? h(
          'ul',
          { class: 'part-list' },
          instance.parts.map((part) =>
            h(
              'li',
              { class: 'part' },
              h('span', { class: 'part-name' }, part.name),
              stateBadge(part.state),
              part.sentence ? h('span', { class: 'part-sentence' }, part.sentence) : null,
            ),
          ),
        )
      : null,
  ];
}
