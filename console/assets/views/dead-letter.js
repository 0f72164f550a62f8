// One dead letter in full: what was read, as text, as hex and decoded, and what can be done with it.

import { get, isAborted, path, RequestError } from '../api.js';
import { announce } from '../components/announce.js';
import { callout } from '../components/callout.js';
import { commandLine } from '../components/command-line.js';
import { dataTable } from '../components/data-table.js';
import { facts } from '../components/facts.js';
import { loading, problemBox } from '../components/problem.js';
import { stateBadge } from '../components/state-badge.js';
import { timeElement } from '../components/time.js';
import { View } from '../components/view.js';
import { showCommand } from '../commands.js';
import { discard, discardPanel } from '../dead-letters/discard.js';
import { orderLink } from '../dead-letters/letters-table.js';
import { redrivePanel } from '../dead-letters/redrive-panel.js';
import { valueSection } from '../dead-letters/value-section.js';
import { h, replace } from '../dom.js';
import { number } from '../format.js';
import { keyText, verdictOfToday } from '../models/dead-letters.js';
import { sentence } from '../models/order-story.js';
import { reasonAdvice, reasonSentence } from '../models/reasons.js';
import { outcomeText } from '../models/redriven.js';

export const tag = 'view-dead-letter';

export function title({ id }) {
  return `Dead letter ${id}`;
}

class DeadLetterView extends View {
  build() {
    const { service, id } = this.params;
    this.badge = h('span');
    this.panel = h('div', { class: 'section' });
    this.body = h('div', { class: 'view' });
    replace(
      this,
      h(
        'div',
        { class: 'view-head' },
        h(
          'div',
          null,
          h('p', { class: 'small' }, h('a', { href: '/dead-letters' }, 'Dead letters')),
          h('h1', { tabindex: '-1' }, 'Dead letter ', h('span', { class: 'mono' }, id)),
        ),
        this.badge,
      ),
      this.panel,
      this.body,
    );
    if (service === 'processor' || service === 'sink') {
      this.#load();
    } else {
      const title = `There is no service ${service}`;
      const detail = 'Dead letters are those of the processor and of the sink.';
      replace(this.body, problemBox(new RequestError({ title, detail, status: 404 })));
    }
  }

  async #load() {
    const { service, id } = this.params;
    if (!this.body.firstChild) replace(this.body, loading('Reading the dead letter'));
    try {
      const letter = await get(path`/api/dead-letters/${service}/${id}`, { signal: this.signal });
      this.#show(letter);
    } catch (error) {
      if (isAborted(error)) return;
      const hint =
        error.problem?.status === 404 ? 'The list has all that are in the topic, closed ones too.' : null;
      replace(this.body, problemBox(error, { retry: () => this.#load(), hint }));
    }
  }

  #show(letter) {
    const { service, id } = this.params;
    replace(this.badge, stateBadge(letter.open ? 'warning' : 'done', letter.open ? 'Open' : 'Closed'));
    replace(
      this.body,
      this.#why(letter),
      letter.open ? this.#today(letter) : null,
      valueSection(letter, { service, id }),
      headers(letter),
      origin(letter, service),
      commandLine(letter.command ?? showCommand(service, id)),
    );
  }

  #why(letter) {
    const advice = [reasonSentence(letter.reason), reasonAdvice(letter.reason)].filter(Boolean).join(' ');
    return h(
      'section',
      { class: 'card' },
      h('h2', null, 'Why it is here'),
      h(
        'p',
        { class: 'large' },
        h('code', { class: 'reason' }, letter.reason),
        ` ${sentence(letter.message)}`,
      ),
      advice ? h('p', { class: 'muted' }, advice) : null,
      letter.state
        ? facts([
            ['Last outcome', outcomeText(letter.state)],
            ['When', timeElement(letter.state.at)],
            ['By the run', h('span', { class: 'mono' }, letter.state.run)],
            ['Who', letter.state.by],
          ])
        : null,
    );
  }

  #today(letter) {
    const { tone, title: verdict, message } = verdictOfToday(letter.today);
    const unchanged = message === (letter.state?.message ?? letter.message);
    const text = unchanged
      ? 'Today’s code, rule and schemas find the same fault. Correct its cause first.'
      : sentence(message);
    return callout({ tone, title: verdict, text, actions: this.#actions(tone === 'bad') });
  }

  #actions(isHopeless) {
    const isOperator = this.session?.role === 'operator';
    const redrive = h(
      'button',
      { type: 'button', class: isHopeless ? 'button' : 'button primary', onclick: () => this.#redrive() },
      isOperator ? 'Redrive …' : 'Preview a redrive …',
    );
    if (!isOperator) return [redrive];
    return [
      redrive,
      h('button', { type: 'button', class: 'button danger', onclick: () => this.#discard() }, 'Discard …'),
    ];
  }

  #redrive() {
    const { service, id } = this.params;
    replace(
      this.panel,
      redrivePanel({
        selection: { service, ids: [id] },
        title: 'Redrive this dead letter',
        signal: this.signal,
        session: this.session,
        onDone: () => this.#load(),
        onClose: () => this.#closePanel(),
      }),
    );
  }

  async #discard() {
    const { service, id } = this.params;
    const run = await discard(service, [id], this.session);
    if (run === null) return;
    announce('The dead letter is being discarded.');
    const shown = discardPanel({
      id: run,
      count: 1,
      signal: this.signal,
      session: this.session,
      onEnd: () => this.#load(),
      onClose: () => this.#closePanel(),
    });
    replace(this.panel, shown);
    shown.focusTitle();
  }

  #closePanel() {
    replace(this.panel);
    this.querySelector('h1').focus();
  }
}

function headers({ original }) {
  return h(
    'section',
    { class: 'card' },
    h('h2', null, 'Headers'),
    dataTable({
      caption: 'Headers of the record',
      rows: original.headers,
      empty: h('p', { class: 'muted' }, 'The record has no headers.'),
      columns: [
        { label: 'Name', header: true, cell: ({ name }) => h('span', { class: 'mono' }, name) },
        { label: 'Value', cell: ({ value }) => h('span', { class: 'mono' }, keyText(value)) },
      ],
    }),
  );
}

function origin(letter, service) {
  const [topic, partition, offset] = letter.letter.split('/');
  return h(
    'section',
    { class: 'card' },
    h('h2', null, 'Where it comes from'),
    facts([
      ['Topic', topic],
      ['Partition', partition],
      ['Offset', offset],
      ['Key', orderLink(letter.original.key)],
      ['Time of the record', timeElement(letter.original.timestamp)],
      ['Became a dead letter', timeElement(letter.written)],
      ['Attempts', number(letter.attempts)],
      ['Repeats', letter.repeats > 0 ? number(letter.repeats) : null],
      ['Service', letter.service || service],
      ['Consumer group', letter.group ?? 'not named'],
      ['Digest', h('span', { class: 'mono' }, letter.digest)],
    ]),
  );
}

customElements.define(tag, DeadLetterView);
