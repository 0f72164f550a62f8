// One run: who started it and why, its progress, its result, and its log.

import { facts } from '../components/facts.js';
import { timeElement } from '../components/time.js';
import { View } from '../components/view.js';
import { h, replace, setText } from '../dom.js';
import { hasEnded, titleOf } from '../models/run-words.js';
import { formOfRequest, queryOf } from '../models/replay-form.js';
import { query } from '../api.js';
import { continueButton } from '../runs/continue.js';
import { resultOf } from '../runs/results.js';
import { runPanel } from '../runs/run-panel.js';

export const tag = 'view-run';

export function title({ id }) {
  return `Run ${id}`;
}

class RunView extends View {
  build() {
    this.heading = h('h1', null, 'Run');
    this.about = h('div');
    this.body = h('div', { class: 'view' });
    this.log = h('pre', { class: 'block log', tabindex: '0', role: 'group', 'aria-label': 'Log of the run' });
    this.logCard = h('section', { class: 'card', hidden: true }, h('h2', null, 'Log'), this.log);
    const panel = runPanel(this.params.id, {
      signal: this.signal,
      session: this.session,
      label: null,
      link: false,
      level: 2,
      onRun: (run) => this.#show(run),
      onEnd: (run) => replace(this.body, this.#ended(run)),
    });
    replace(
      this,
      h('div', null, h('p', { class: 'small' }, h('a', { href: '/runs' }, 'Runs')), this.heading),
      h('section', { class: 'card' }, panel, this.about),
      this.body,
      this.logCard,
    );
  }

  #show(run) {
    const name = titleOf(run);
    setText(this.heading, name);
    document.title = `${name} · checkout`;
    if (!this.about.firstChild || hasEnded(run.state)) replace(this.about, aboutFacts(run));
    this.#showLog(run.log ?? []);
  }

  #showLog(lines) {
    this.logCard.hidden = lines.length === 0;
    // The log scrolls to its end, unless the reader has scrolled up to read.
    const { scrollTop, scrollHeight, clientHeight } = this.log;
    const isAtEnd = scrollHeight - scrollTop - clientHeight < 24;
    setText(this.log, lines.join('\n'));
    if (isAtEnd) this.log.scrollTop = this.log.scrollHeight;
  }

  #ended(run) {
    const result = resultOf(run);
    return [
      result ? h('section', { class: 'card' }, h('h2', null, 'Result'), result, rawResult(run.result)) : null,
      this.#next(run),
    ];
  }

  #next(run) {
    const links = [continueButton(run, this.session)];
    if (run.kind === 'backfill') {
      const address = `/replay${query(queryOf(formOfRequest(run.request)))}`;
      links.push(h('a', { class: 'button', href: address }, 'Preview with the same settings'));
    } else {
      links.push(h('a', { class: 'button', href: '/dead-letters' }, 'See the dead letters'));
    }
    return h('div', { class: 'actions' }, links);
  }
}

function aboutFacts(run) {
  return facts([
    ['Who', run.by],
    ['Why', run.why],
    ['Service', run.service],
    ['Writes', run.dry_run ? 'nothing: it is a preview' : null],
    ['Started', timeElement(run.started)],
    ['Ended', run.ended ? timeElement(run.ended) : null],
    ['Exit code', run.exit_code === 0 ? null : run.exit_code],
  ]);
}

function rawResult(result) {
  const cut = result.cut
    ? h('p', { class: 'muted small' }, `Too large to be kept: ${[result.cut].flat().join(', ')}.`)
    : null;
  return h(
    'details',
    { class: 'details' },
    h('summary', null, 'As JSON'),
    cut,
    h(
      'pre',
      { class: 'block', tabindex: '0', role: 'group', 'aria-label': 'Result as JSON' },
      JSON.stringify(result, null, 2),
    ),
  );
}

customElements.define(tag, RunView);
