// An order: whether it has its voucher, and why; every record with its decision, and where it went.

import { get, isAborted, path, post, query } from '../api.js';
import { announce } from '../components/announce.js';
import { callout } from '../components/callout.js';
import { commandLine } from '../components/command-line.js';
import { confirmDialog } from '../components/confirm-dialog.js';
import { emptyState } from '../components/empty-state.js';
import { field } from '../components/field.js';
import { icon } from '../components/icons.js';
import { loading, problemBox } from '../components/problem.js';
import { View } from '../components/view.js';
import { explainCommand, revealCommand } from '../commands.js';
import { h, replace } from '../dom.js';
import { clock } from '../format.js';
import { extentText, sentence, storyOf } from '../models/order-story.js';
import { navigate } from '../navigate.js';
import { pathCard } from '../order/path-card.js';
import { deadLettersCard, gapsCard, recordsCard, rowsCard, vouchersCard } from '../order/cards.js';

export const tag = 'view-order';

export function title({ id }) {
  return id === undefined ? 'Orders' : `Order ${id}`;
}

class OrderView extends View {
  build() {
    const { id } = this.params;
    this.body = h('div', { class: 'view' });
    replace(
      this,
      h(
        'div',
        { class: 'view-head' },
        h('h1', null, id === undefined ? 'Orders' : ['Order ', h('span', { class: 'mono' }, id)]),
        this.#search(id),
      ),
      this.body,
    );
    if (id === undefined) this.#invite();
    else this.#load();
  }

  #search(id) {
    const order = field({
      label: 'Order id',
      input: h('input', {
        type: 'search',
        name: 'order',
        autocomplete: 'off',
        spellcheck: 'false',
        required: true,
        value: id ?? '',
      }),
    });
    const form = h(
      'form',
      { class: 'order-search', role: 'search', 'aria-label': 'Find an order', novalidate: true },
      order.element,
      h('button', { type: 'submit', class: 'button primary' }, icon('search'), 'Explain'),
    );
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      // An id may begin or end with spaces, but hardly one that is typed or pasted.
      const wanted = order.input.value.trim();
      order.setError(wanted === '' ? 'Write the id of an order.' : null);
      if (wanted === '') order.input.focus();
      else navigate(path`/orders/${wanted}`);
    });
    return form;
  }

  #invite() {
    replace(
      this.body,
      emptyState({
        title: 'Why has an order a voucher, or none?',
        text:
          'Write or paste the id of an order. Every record of it is listed with the decision in the rule’s words, ' +
          'with its voucher, its row, and its dead letters.',
        actions: [h('a', { class: 'button', href: '/try' }, 'Place an order to look at')],
      }),
    );
  }

  async #load() {
    const { id } = this.params;
    replace(this.body, loading(`Reading the records of ${id}`));
    try {
      const all = query({ all_partitions: this.query.get('all') });
      const found = await get(path`/api/orders/${id}` + all, { signal: this.signal });
      this.path = pathCard(id, { signal: this.signal });
      this.#show(found);
    } catch (error) {
      if (isAborted(error)) return;
      replace(this.body, error.problem?.status === 404 ? this.#notFound(error) : this.#failed(error));
    }
  }

  #notFound(error) {
    const { id } = this.params;
    const all = this.query.get('all') === 'true';
    return [
      emptyState({
        title: `Order ${id} was not found`,
        text: sentence(error.problem.detail),
        actions: [
          h('button', { type: 'button', class: 'button', onclick: () => this.#load() }, 'Look again'),
          all
            ? null
            : h(
                'button',
                { type: 'button', class: 'button', onclick: () => this.#searchAll() },
                'Search every partition',
              ),
          h('a', { class: 'button', href: `/try?order=${encodeURIComponent(id)}` }, 'Wait for it'),
        ],
      }),
      commandLine(explainCommand(id, { allPartitions: all })),
    ];
  }

  // Another partitioner may have placed its records elsewhere than its key belongs to.
  #searchAll() {
    this.setQuery({ all: 'true' });
    this.#load();
  }

  #failed(error) {
    return [problemBox(error, { retry: () => this.#load() }), commandLine(explainCommand(this.params.id))];
  }

  #show(found, { revealed = false } = {}) {
    replace(
      this.body,
      this.#story(found, revealed),
      gapsCard(found.not_looked_at),
      h('div', { class: 'columns' }, this.path, vouchersCard(found)),
      recordsCard(found),
      rowsCard(found),
      deadLettersCard(found),
      this.#foot(found, revealed),
    );
  }

  #story(found, revealed) {
    const { isLate, ...story } = storyOf(found);
    const flow = isLate ? [h('a', { class: 'button', href: '/flow' }, 'See what holds it up')] : [];
    return callout({ ...story, actions: [...flow, ...this.#actions(found, revealed)] });
  }

  #foot(found, revealed) {
    const command = found.command ?? explainCommand(this.params.id);
    return h(
      'div',
      { class: 'section-foot' },
      commandLine(command),
      h(
        'span',
        { class: 'muted small' },
        `${extentText(found)} Read at ${clock(Date.now())}${revealed ? ', with codes' : ''}. Decisions are those of today’s rule.`,
      ),
    );
  }

  #actions(found, revealed) {
    const again = h('button', { type: 'button', class: 'button', onclick: () => this.#load() }, 'Read again');
    const hasCode = found.vouchers.some((record) => record.voucher) || (found.rows ?? []).length > 0;
    if (!hasCode || revealed) return [again];
    if (this.session?.role !== 'operator') {
      return [again, h('span', { class: 'muted small' }, 'Codes are masked. An operator can reveal them.')];
    }
    return [
      again,
      h('button', { type: 'button', class: 'button', onclick: () => this.#reveal() }, 'Reveal codes …'),
    ];
  }

  async #reveal() {
    const { id } = this.params;
    const topic = this.session.audit_topic;
    const answer = await confirmDialog({
      title: `Reveal the codes of order ${id}?`,
      body: [
        h('p', null, 'A code is as good as money: whoever sees it can use it.'),
        h(
          'p',
          null,
          topic
            ? `That you saw it, and why, is recorded in ${topic} before it is shown.`
            : 'No audit topic is set, so only the console’s log says that you saw it.',
        ),
      ],
      confirmLabel: 'Reveal',
      why: true,
      command: (why) => revealCommand(id, this.session.name, why),
      action: ({ why }) => post(path`/api/orders/${id}/reveal`, { why }, { signal: this.signal }),
    });
    if (!answer) return;
    this.#show(answer.result, { revealed: true });
    announce('The codes are shown.');
    this.querySelector('h1').focus();
  }
}

customElements.define(tag, OrderView);
