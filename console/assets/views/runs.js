// All runs that the console knows, the newest first.

import { get, isAborted, path } from '../api.js';
import { dataTable } from '../components/data-table.js';
import { emptyState } from '../components/empty-state.js';
import { keepFocus } from '../components/keep-focus.js';
import { loading, problemBox } from '../components/problem.js';
import { stateBadge } from '../components/state-badge.js';
import { timeElement } from '../components/time.js';
import { View } from '../components/view.js';
import { h, replace } from '../dom.js';
import { millis } from '../format.js';
import { hasEnded, shownState, titleOf, tookOf } from '../models/run-words.js';
import { stream } from '../stream.js';

/** The maximum number of runs that the console remembers, including running ones. */
const MAX_RUNS = 210;

export const tag = 'view-runs';

export function title() {
  return 'Runs';
}

class RunsView extends View {
  #runs = new Map();

  build() {
    const dry = this.query.get('dry') !== 'false';
    const box = h('input', { type: 'checkbox', checked: dry });
    box.addEventListener('change', () => {
      this.setQuery({ dry: box.checked ? null : 'false' });
      this.#render();
    });
    this.box = box;
    this.body = h('div', { class: 'section' }, loading('Reading the runs'));
    replace(
      this,
      h(
        'div',
        { class: 'view-head' },
        h(
          'div',
          null,
          h('h1', null, 'Runs'),
          h(
            'p',
            { class: 'lead' },
            'What was started here, by whom, and why. Runs live on the server: closing a page changes nothing.',
          ),
        ),
        h('label', { class: 'check' }, box, 'Show previews'),
      ),
      h('section', { class: 'card', 'aria-label': 'Runs' }, this.body),
    );
    stream.subscribe('run', (run) => this.#receive(run), { signal: this.signal });
    this.listen(stream, 'opened', () => this.#load());
    // The durations of those that run go on.
    this.every(5000, () => [...this.#runs.values()].some((run) => !hasEnded(run.state)) && this.#render());
    this.#load();
  }

  async #load() {
    try {
      const answer = await get('/api/runs', { signal: this.signal });
      this.#runs = new Map(answer.map((run) => [run.id, run]));
      this.#render();
    } catch (error) {
      if (!isAborted(error)) replace(this.body, problemBox(error, { retry: () => this.#load() }));
    }
  }

  #receive(run) {
    this.#runs.set(run.id, run);
    // Ids are in the order in which runs were started, so the smallest id is the oldest run.
    if (this.#runs.size > MAX_RUNS) this.#runs.delete([...this.#runs.keys()].sort()[0]);
    this.#render();
  }

  #render() {
    const runs = [...this.#runs.values()]
      .filter((run) => this.box.checked || !run.dry_run)
      .sort((a, b) => String(b.started).localeCompare(String(a.started)));
    keepFocus(this.body, () => replace(this.body, runs.length > 0 ? table(runs) : this.#nothing()));
  }

  #nothing() {
    const onlyPreviews = this.#runs.size > 0;
    return emptyState({
      title: onlyPreviews ? 'There are only previews' : 'Nothing was run yet',
      text: onlyPreviews
        ? 'Show previews to see them.'
        : 'Redrives, discards and replays that are started here are listed, since the console was started.',
      actions: [
        h('a', { class: 'button', href: '/dead-letters' }, 'See the dead letters'),
        h('a', { class: 'button', href: '/replay' }, 'Preview a replay'),
      ],
    });
  }
}

function table(runs) {
  return dataTable({
    caption: 'Runs, the newest first',
    rows: runs,
    columns: [
      {
        label: 'Run',
        header: true,
        cell: (run) =>
          h(
            'div',
            null,
            h('a', { href: path`/runs/${run.id}` }, titleOf(run)),
            h('div', { class: 'run-command mono', title: run.command }, run.command),
          ),
      },
      { label: 'State', cell: (run) => stateBadge(shownState(run)) },
      { label: 'Who', cell: ({ by }) => by },
      { label: 'Why', cell: ({ why }) => why ?? h('span', { class: 'muted' }, '–') },
      { label: 'Started', cell: ({ started }) => h('span', { class: 'age' }, timeElement(started, 'ago')) },
      { label: 'Took', numeric: true, cell: (run) => millis(tookOf(run)) },
      {
        label: 'Outcome',
        cell: ({ summary, state }) => h('span', { class: state === 'failed' ? 'bad' : null }, summary ?? '–'),
      },
    ],
  });
}

customElements.define(tag, RunsView);
