// A replay: a preview counts the vouchers of a range, then a run issues them. Both are runs on the server.

import { get, newIdempotencyKey, path, post } from '../api.js';
import { callout } from '../components/callout.js';
import { confirmDialog } from '../components/confirm-dialog.js';
import { problemBox } from '../components/problem.js';
import { View } from '../components/view.js';
import { commandOf } from '../commands.js';
import { append, h, replace } from '../dom.js';
import { money, plural } from '../format.js';
import { obstacleTo } from '../models/preview.js';
import { formOf, formOfRequest, nameFor, queryOf, requestOf, runOf } from '../models/replay-form.js';
import { recordedText } from '../models/run-words.js';
import { backfillFigures } from '../replay/figures.js';
import { replayForm } from '../replay/form.js';
import { continueButton } from '../runs/continue.js';
import { runPanel } from '../runs/run-panel.js';

export const tag = 'view-replay';

export function title() {
  return 'Replay';
}

class ReplayView extends View {
  build() {
    this.formCard = h('section', { class: 'card', 'aria-label': 'What is replayed' });
    this.result = h('div', { class: 'view' });
    replace(
      this,
      h(
        'div',
        null,
        h('h1', null, 'Replay'),
        h(
          'p',
          { class: 'lead' },
          'Evaluate any past range again beside the live flow: no service stops, no offset is reset, and an order that ' +
            'has its voucher gets no second one.',
        ),
      ),
      this.formCard,
      this.result,
    );
    const preview = this.query.get('preview');
    if (preview) this.#reopen(preview);
    else this.#showForm(formOf(this.query));
  }

  #showForm(form) {
    replace(
      this.formCard,
      replayForm(form, (filled) => this.#preview(filled)),
    );
  }

  // A preview has an address: the console still has the run and its request.
  async #reopen(id) {
    try {
      const run = await get(path`/api/runs/${id}`, { signal: this.signal });
      const isPreview = run.kind === 'backfill' && run.dry_run;
      this.#showForm(isPreview ? formOfRequest(run.request) : formOf(this.query));
      if (isPreview) this.#follow(id);
    } catch {
      // The console forgets runs when it is stopped; the form has all that is needed for another preview.
      if (this.signal.aborted) return;
      this.setQuery({ preview: null });
      this.#showForm(formOf(this.query));
    }
  }

  async #preview(form) {
    try {
      const { id } = await post('/api/runs', requestOf(form), {
        signal: this.signal,
        idempotencyKey: newIdempotencyKey(),
      });
      this.setQuery({ ...queryOf(form), preview: id });
      this.#follow(id);
      this.result.querySelector('h2').focus();
    } catch (error) {
      if (!this.signal.aborted) replace(this.result, problemBox(error));
    }
  }

  #follow(id) {
    const body = h('div', { class: 'section' });
    const panel = runPanel(id, {
      signal: this.signal,
      session: this.session,
      label: 'Preview',
      command: false,
      onEnd: (run) => this.#showPreview(run, body),
    });
    replace(
      this.result,
      h('section', { class: 'card' }, h('h2', { tabindex: '-1' }, 'Preview'), panel, body),
    );
  }

  #showPreview(run, body) {
    if (!run.result) return;
    replace(body, backfillFigures(run.result), this.#next(run));
  }

  #next(run) {
    const obstacle = obstacleTo(run.request, run.result);
    if (obstacle) return callout({ tone: 'muted', text: obstacle, level: 3 });
    if (this.session?.role !== 'operator') {
      return h('p', { class: 'muted' }, 'You are a viewer: an operator can run it.');
    }
    const missing = isMissing(run.result);
    const actions = h(
      'div',
      { class: 'actions' },
      h(
        'button',
        { type: 'button', class: `button ${missing ? 'primary' : ''}`, onclick: () => this.#run(run, actions) },
        `Run: issue ${plural(run.result.vouchers, 'voucher', 'vouchers')} …`,
      ),
      h('span', { class: 'muted small' }, 'The live flow goes on meanwhile. It can be paused.'),
    );
    return [missing || run.result.vouchers === 0 ? null : nothingMissing(), actions];
  }

  async #run(preview, actions) {
    const { vouchers, sum, currency, existing } = preview.result;
    const name = nameFor();
    const key = newIdempotencyKey();
    const request = (why) => ({ ...runOf(preview.request, { name, why }), preview: preview.id, confirm: vouchers });
    const answer = await confirmDialog({
      title: `Issue ${plural(vouchers, 'voucher', 'vouchers')}?`,
      body: [
        h('p', null, `They are worth ${money(sum, currency)} in all.${newOnes(existing)}`),
        h('p', null, 'Records that were written since the preview are evaluated as well.'),
      ],
      confirmLabel: 'Run',
      count: vouchers,
      why: true,
      whyHint: recordedText(this.session, 'processor'),
      command: (why) => commandOf(request(why), this.session.name),
      action: ({ why }) => post('/api/runs', request(why), { idempotencyKey: key }),
    });
    if (!answer) return;
    const { id } = answer.result;
    replace(actions, h('span', { class: 'muted' }, 'It is started: see below.'));
    append(this.result, this.#running(id));
  }

  #running(id) {
    const body = h('div', { class: 'section' });
    const heading = h('h2', { tabindex: '-1' }, 'Run');
    const panel = runPanel(id, {
      signal: this.signal,
      session: this.session,
      label: 'Run',
      onEnd: (run) =>
        replace(body, run.result ? backfillFigures(run.result) : null, continueButton(run, this.session)),
    });
    queueMicrotask(() => heading.focus());
    return h(
      'section',
      { class: 'card' },
      heading,
      h('p', { class: 'muted' }, 'It lives on the server. It goes on when this page is closed.'),
      panel,
      body,
    );
  }
}

/** Returns whether a run may write a row, as far as the preview knows. */
function isMissing({ existing }) {
  return !existing || existing.new > 0;
}

function nothingMissing() {
  return callout({
    tone: 'ok',
    title: 'Nothing is missing',
    text: 'Each of these orders has its row already. A run would write their vouchers to the topic again, and change no row.',
    level: 3,
  });
}

function newOnes(existing) {
  if (!existing) return '';
  return ` ${plural(existing.new, 'order has', 'orders have')} no row yet; those that have one keep it.`;
}

customElements.define(tag, ReplayView);
