// An open node: what it says, its figures, and every instance with its parts.

import { facts } from '../components/facts.js';
import { icon } from '../components/icons.js';
import { stateBadge } from '../components/state-badge.js';
import { h, replace } from '../dom.js';
import { plural } from '../format.js';
import { nodesOf } from './model.js';

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
    links: [['/dead-letters?service=processor', 'Look at them']],
  },
  'vouchers.dlq': {
    text: 'Voucher records that the sink could not write, with their original bytes.',
    links: [['/dead-letters?service=sink', 'Look at them']],
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

  function render() {
    if (!open) return;
    const node = nodesOf(flow).get(open);
    const key = JSON.stringify(node);
    if (!node || key === shown) return;
    const focused = element.contains(document.activeElement) ? document.activeElement : null;
    // While a reader is on a link of the panel, its numbers wait: replacing the link would lose the focus.
    if (focused && shown !== '') return;
    shown = key;
    replace(element, content(node, onClose));
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

function content(node, onClose) {
  const about = ABOUT[node.id] ?? {};
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
    node.sentence ? h('p', { class: 'detail-sentence' }, node.sentence) : null,
    node.figures.length > 0 ? facts(node.figures.map(({ label, value }) => [label, value])) : null,
    node.kind === 'service' ? instances(node) : null,
    about.links
      ? h('div', { class: 'actions' }, about.links.map(([href, label]) => h('a', { class: 'button', href }, label)))
      : null,
  ];
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
