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
import { timeElement } from '../components/time.js';
import { View } from '../components/view.js';
import { explainCommand, revealCommand } from '../commands.js';
import { h, replace } from '../dom.js';
import { commandOptions, parametersOf, reachOf } from '../models/order-search.js';
import { sentence, storyOf } from '../models/order-story.js';
import { auditTopicOf } from '../models/run-words.js';
import { navigate } from '../navigate.js';
import { pathCard } from '../order/path-card.js';
import { deadLettersCard, gapsCard, ingressCard, recordsCard, rowsCard, vouchersCard } from '../order/cards.js';
import { searchCard, searchFoot } from '../order/search-card.js';

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
        h('h1', { tabindex: '-1' }, id === undefined ? 'Orders' : ['Order ', h('span', { class: 'mono' }, id)]),
        this.#searchForm(id),
      ),
      this.body,
    );
    if (id === undefined) this.#invite();
    else this.#load();
  }

  #searchForm(id) {
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

  get #reach() {
    return reachOf(this.query);
  }

  // What one search found, another one may not find: everything on the page is searched equally far.
  get #search() {
    return query(parametersOf(this.#reach));
  }

  async #load() {
    const { id } = this.params;
    // The button that asked for it goes away.
    const isAsked = this.body.contains(document.activeElement);
    replace(this.body, loading(`Reading the records of ${id}`));
    if (isAsked) {
      this.#focusTitle();
      announce(`Reading the records of ${id} …`);
    }
    try {
      const found = await get(path`/api/orders/${id}` + this.#search, { signal: this.signal });
      this.#show(found);
      if (isAsked) announce('The order was read.');
    } catch (error) {
      if (isAborted(error)) return;
      const isUnknown = error.problem?.status === 404;
      replace(this.body, isUnknown ? this.#notFound(error) : this.#failed(error));
      // Every other failure is an alert.
      if (isAsked && isUnknown) announce('The order was not found.');
    }
  }

  #focusTitle() {
    this.querySelector('h1').focus();
  }

  #notFound(error) {
    const { id } = this.params;
    const reach = this.#reach;
    return [
      emptyState({
        title: `Order ${id} was not found`,
        text: sentence(error.problem.detail),
        actions: [
          h('button', { type: 'button', class: 'button', onclick: () => this.#load() }, 'Look again'),
          reach === 'all'
            ? null
            : h(
                'button',
                { type: 'button', class: 'button', onclick: () => this.#searchFurther('all') },
                'Search every partition',
              ),
          h('a', { class: 'button', href: `/try?order=${encodeURIComponent(id)}` }, 'Wait for it'),
        ],
      }),
      commandLine(explainCommand(id, commandOptions(reach))),
    ];
  }

  // The records may be in a part that was not read, or where another partitioner has placed them.
  #searchFurther(reach) {
    this.setQuery({ scan: null, all: null, [reach]: 'true' });
    this.#load();
  }

  #failed(error) {
    const isSlow = error.problem?.status === 504;
    const hint = isSlow ? 'Long topics take longer to read than a page waits. The command has no such limit.' : null;
    return [
      problemBox(error, { retry: () => this.#load(), hint }),
      commandLine(explainCommand(this.params.id, commandOptions(this.#reach))),
    ];
  }

  #show(found, { revealed = false } = {}) {
    replace(
      this.body,
      this.#story(found, revealed),
      gapsCard(found.not_looked_at),
      searchCard(found, this.#searching()),
      h('div', { class: 'columns' }, pathCard(this.params.id, found.path), vouchersCard(found)),
      ingressCard(found),
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
    const command = found.command ?? explainCommand(this.params.id, commandOptions(this.#reach));
    return h(
      'div',
      { class: 'section-foot' },
      commandLine(command),
      searchFoot(found, this.#searching()),
      h(
        'span',
        { class: 'muted small' },
        'Read at ',
        timeElement(Date.now(), 'clock'),
        `${revealed ? ', with codes' : ''}. Decisions are those of today’s rule.`,
      ),
    );
  }

  #searching() {
    return { reach: this.#reach, onSearch: (reach) => this.#searchFurther(reach) };
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
    const topic = auditTopicOf(this.session, 'processor');
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
      command: (why) => revealCommand(id, this.session.name, why, commandOptions(this.#reach)),
      action: ({ why }) => post(path`/api/orders/${id}/reveal` + this.#search, { why }, { signal: this.signal }),
    });
    if (!answer) return;
    this.#show(answer.result, { revealed: true });
    announce('The codes are shown.');
    this.#focusTitle();
  }
}

customElements.define(tag, OrderView);
