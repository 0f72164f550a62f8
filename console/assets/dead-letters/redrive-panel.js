// A redrive in two steps: a preview, whose result is read, then the redrive itself. Both are runs on the
// server.

import { newIdempotencyKey, path, post } from '../api.js';
import { callout } from '../components/callout.js';
import { closablePanel } from '../components/closable-panel.js';
import { confirmDialog } from '../components/confirm-dialog.js';
import { problemBox } from '../components/problem.js';
import { commandOf } from '../commands.js';
import { append, h, replace } from '../dom.js';
import { money, plural } from '../format.js';
import { selectedBy, sumsOf, vouchersOf } from '../models/redriven.js';
import { recordedText } from '../models/run-words.js';
import { runPanel } from '../runs/run-panel.js';
import { redriveFigures } from './redrive-figures.js';

/**
 * Starts a preview and shows it.
 *
 * @param {object} options
 * @param {{service: string, ids?: string[]|null, reason?: string|null}} options.selection
 * @param {string} options.title such as "Redrive 3 dead letters"
 * @param {AbortSignal} options.signal
 * @param {object} options.session
 * @param {function(object)} options.onDone is called with the RunView of a redrive that has ended, whatever its outcome
 * @param {function()} options.onClose is called when the reader closes the panel
 * @returns {HTMLElement}
 */
export function redrivePanel({ selection, title, signal, session, onDone, onClose }) {
  const steps = h('div', { class: 'section' });
  const element = closablePanel({ title, onClose }, steps);

  async function preview() {
    // The button that began it goes away.
    if (steps.contains(document.activeElement)) element.focusTitle();
    replace(
      steps,
      h('p', { class: 'muted' }, 'A preview evaluates them by today’s code and rule, and writes nothing.'),
    );
    const key = newIdempotencyKey();
    try {
      const { id } = await post('/api/runs', request({ dry_run: true }), { signal, idempotencyKey: key });
      append(steps, runPanel(id, { signal, session, label: 'Preview', onEnd: showPreview }));
    } catch (error) {
      if (!signal.aborted) append(steps, problemBox(error, { retry: preview, level: 3 }));
    }
  }

  function showPreview(run) {
    if (run.state !== 'done' || !run.result) {
      append(steps, h('div', { class: 'actions' }, again('Preview again')));
      return;
    }
    const count = selectedBy(run.result);
    if (count === 0) {
      append(steps, h('p', null, 'None of them is open any more: somebody has redriven or discarded them.'));
      return;
    }
    append(steps, redriveFigures(run.result, selection.service), inVain(run.result), next(run.result, count));
  }

  function next(result, count) {
    if (session?.role !== 'operator') {
      return h('p', { class: 'muted' }, 'You are a viewer: an operator can redrive them.');
    }
    const confirm = h(
      'button',
      { type: 'button', class: `button ${result.closed > 0 ? 'primary' : ''}`, onclick: () => redrive(result, count, actions) },
      `Redrive ${plural(count, 'dead letter', 'dead letters')} …`,
    );
    const actions = h('div', { class: 'actions' }, confirm, again('Preview again'));
    return actions;
  }

  async function redrive(result, count, actions) {
    const key = newIdempotencyKey();
    const { selection: previewed } = result;
    const run = (why) => request({ confirm: count, selection: previewed, why });
    const answer = await confirmDialog({
      title: `Redrive ${plural(count, 'dead letter', 'dead letters')}?`,
      body: consequence(result, selection.service),
      confirmLabel: 'Redrive',
      count: count > 1 ? count : undefined,
      why: true,
      whyHint: recordedText(session, selection.service),
      command: (why) => commandOf(run(why), session.name),
      action: ({ why }) => post('/api/runs', run(why), { idempotencyKey: key }),
    });
    if (!answer) return;
    const panel = runPanel(answer.result.id, {
      signal,
      session,
      label: 'Redrive',
      onEnd: (run) => {
        if (run.result) append(steps, redriveFigures(run.result, selection.service));
        if (run.state !== 'done') append(steps, h('div', { class: 'actions' }, again('Preview again')));
        onDone(run);
      },
    });
    const link = h(
      'a',
      { href: path`/runs/${answer.result.id}` },
      'The run goes on when this page is closed: this is its address',
    );
    replace(actions, link);
    // The button that had the focus is gone.
    link.focus();
    append(steps, panel);
  }

  function again(label) {
    return h('button', { type: 'button', class: 'button', onclick: preview }, label);
  }

  function request(more) {
    const { service, ids = null, reason = null } = selection;
    return { kind: 'redrive', service, ids, reason, dry_run: false, ...more };
  }

  preview();
  // The panel is in the document only after it is returned.
  queueMicrotask(element.focusTitle);
  return element;
}

// The button stays: another attempt is harmless, and is counted.
function inVain(result) {
  if (result.closed > 0) return null;
  return callout({
    tone: 'bad',
    title: 'A redrive would close none of them',
    text: 'Their faults are still there. Correct the cause first, or select those that nobody needs and discard them.',
    level: 3,
  });
}

function consequence(result, service) {
  const vouchers = vouchersOf(result);
  const worth = sumsOf(result)
    .map(({ currency, sum }) => money(sum, currency))
    .join(', ');
  const what =
    service === 'sink'
      ? `${plural(vouchers, 'row is', 'rows are')} written, or exist already`
      : `${plural(vouchers, 'voucher is', 'vouchers are')} issued${vouchers > 0 && worth ? `, ${worth} in all` : ''}`;
  return [
    h(
      'p',
      null,
      `As of the preview: ${what}; ${plural(result.closed, 'is', 'are')} closed, ${plural(result.still_open, 'stays', 'stay')} open.`,
    ),
    h(
      'p',
      null,
      'If others are open by then, because somebody else was faster or more have arrived, nothing is written.',
    ),
  ];
}
