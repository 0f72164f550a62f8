// Places an order and follows it from the request to its row. Follows any other order by its id.

import { newIdempotencyKey, path, post, RequestError } from '../api.js';
import { actionButton } from '../components/action-button.js';
import { announce } from '../components/announce.js';
import { commandLine } from '../components/command-line.js';
import { emptyState } from '../components/empty-state.js';
import { field } from '../components/field.js';
import { problemBox } from '../components/problem.js';
import { View } from '../components/view.js';
import { h, replace } from '../dom.js';
import { millis } from '../format.js';
import { isOperator } from '../session.js';
import { answerLine, orderForm } from '../try/form.js';
import { followOrder } from '../try/follow.js';
import { sendCommand } from '../try/order.js';

export const tag = 'view-try';

export function title() {
  return 'Try';
}

class TryView extends View {
  #following = null;
  #followed = null;

  build() {
    this.answers = h('div', { class: 'section' });
    this.place = h('section', { class: 'card', 'aria-labelledby': 'try-place' });
    this.follow = h('section', { class: 'card', 'aria-label': 'The followed order' });
    replace(
      this,
      h(
        'div',
        null,
        h('h1', null, 'Try'),
        h('p', { class: 'lead' }, 'Place an order and follow it from the request to its row in Postgres, with the milliseconds of each hop.'),
      ),
      h('div', { class: 'columns try-columns' }, this.place, h('div', { class: 'section' }, this.#searchCard(), this.follow)),
    );
    replace(this.place, h('h2', { id: 'try-place' }, 'Place an order'), this.#placing());
    const id = this.query.get('order');
    if (id) this.#start(id);
    else this.#invite();
  }

  #placing() {
    if (!isOperator()) {
      return emptyState({
        title: 'Viewers place no orders',
        text: 'Placing an order changes something, so it needs the role operator. Whoever runs this console gives keys with that role.',
        level: 3,
      });
    }
    if (!this.session.can_place_orders) {
      return emptyState({
        title: 'This console places no orders',
        text: 'It was started without the address of an ingress. Set CONSOLE_ORDERS_URL and start it again. Orders that come from elsewhere can be followed by their id.',
        level: 3,
      });
    }
    return [orderForm({ onPlace: (body, send) => this.#placeOrder(body, send) }), this.answers];
  }

  #searchCard() {
    const order = field({
      label: 'Follow any order',
      hint: 'Paste its id.',
      input: h('input', { type: 'search', name: 'order', autocomplete: 'off', spellcheck: 'false', required: true }),
    });
    const form = h(
      'form',
      { class: 'follow-form', role: 'search', 'aria-label': 'Follow an order' },
      order.element,
      h('button', { type: 'submit', class: 'button' }, 'Follow'),
    );
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      const id = order.input.value.trim();
      order.setError(id === '' ? 'Write the id of an order.' : null);
      if (id !== '') this.#start(id);
    });
    return h('div', { class: 'card' }, form);
  }

  #invite() {
    replace(
      this.follow,
      emptyState({
        title: 'No order is followed',
        text: 'Place one, or paste the id of any order. Its way appears here, hop by hop.',
      }),
    );
  }

  async #placeOrder(body, send) {
    replace(this.answers);
    try {
      // One press of the button is one order, however often the request is sent.
      const placed = await post('/api/orders', body, { signal: this.signal, idempotencyKey: newIdempotencyKey() });
      this.#checkAnswer(placed);
      const id = placed.body.order_id;
      this.#say([`Placed as `, h('b', { class: 'mono' }, id), `: ${placed.status} after ${millis(placed.millis)}.`]);
      announce('The order is placed.');
      this.#start(id);
      if (send) await this.#send(id);
      else this.#offerSend(id);
    } catch (error) {
      if (this.signal.aborted) return;
      this.answers.append(problemBox(error, { level: 3 }));
    }
  }

  async #send(id) {
    const sent = await post(path`/api/orders/${id}/status`, { status: 'SENT' }, { signal: this.signal });
    this.#checkAnswer(sent);
    this.#say([`Set to SENT: ${sent.status} after ${millis(sent.millis)}.`]);
    announce('The order is set to SENT.');
    this.#following?.look();
  }

  #offerSend(id) {
    const row = h('div', { class: 'section' });
    const button = actionButton(
      'Set it to SENT',
      async () => {
        try {
          await this.#send(id);
          row.remove();
        } catch (error) {
          if (!this.signal.aborted) row.append(problemBox(error, { level: 3 }));
        }
      },
      { class: 'button primary', busy: 'Setting' },
    );
    row.append(h('div', { class: 'actions' }, button), commandLine(sendCommand(id)));
    this.answers.append(row);
  }

  // The console forwards the ingress's answer as it is, refusals included.
  #checkAnswer(answer) {
    if (answer.status < 400) return;
    const problem = typeof answer.body === 'object' && answer.body !== null ? answer.body : {};
    throw new RequestError({
      title: problem.title ?? 'The ingress refused the order',
      detail: problem.detail ?? `It answered with status ${answer.status}.`,
      status: answer.status,
    });
  }

  #say(children) {
    this.answers.append(answerLine(children));
  }

  #start(id) {
    this.#followed?.abort();
    this.#followed = new AbortController();
    const signal = AbortSignal.any([this.#followed.signal, this.signal]);
    this.setQuery({ order: id });
    this.#following = followOrder(id, { signal });
    replace(this.follow, this.#following);
  }
}

customElements.define(tag, TryView);
