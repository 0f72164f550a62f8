// Asks for confirmation before a change. For irreversible changes, the number of affected items must be typed.

import { h, replace, uniqueId } from '../dom.js';
import { commandLine } from './command-line.js';
import { field } from './field.js';
import { problemBox } from './problem.js';

/**
 * Opens a modal dialog and returns what was confirmed, or null when the reader cancelled.
 *
 * @param {object} options
 * @param {string} options.title such as "Redrive 12 dead letters"
 * @param {Node|string|Array} [options.body] what will happen, in sentences
 * @param {string} options.confirmLabel the button's text: the verb, such as "Redrive"
 * @param {boolean} [options.danger] draws the button as dangerous
 * @param {number} [options.count] must be typed before the button does anything
 * @param {boolean} [options.why] asks for a reason
 * @param {string} [options.whyHint] says where the reason is recorded
 * @param {function(string): string} [options.command] the command line for a reason
 * @param {function({why: string}): Promise} [options.action] is run while the dialog is open: a failure
 *   is shown in it, and its result is returned as `result`
 * @returns {Promise<{why: string, result: unknown}|null>}
 */
export function confirmDialog(options) {
  const { title, body, confirmLabel, danger, count, action, command } = options;
  const titleId = uniqueId('dialog-title');
  const why = options.why ? whyField(options.whyHint) : null;
  const typed = typeof count === 'number' ? countField(count) : null;
  const failure = h('div');
  const confirm = h('button', { type: 'submit', class: `button primary${danger ? ' danger' : ''}` }, confirmLabel);
  const cancel = h('button', { type: 'button', class: 'button' }, 'Cancel');
  const shell = command ? commandLine(command('…')) : null;
  const form = h(
    'form',
    { class: 'dialog-form', novalidate: true },
    h('h2', { id: titleId, class: 'dialog-title' }, title),
    body ? h('div', { class: 'dialog-body' }, body) : null,
    why?.element,
    typed?.element,
    shell,
    failure,
    h('div', { class: 'actions end' }, cancel, confirm),
  );
  const dialog = h('dialog', { class: 'dialog', 'aria-labelledby': titleId }, form);

  return new Promise((resolve) => {
    let answer = null;
    let running = false;
    why?.input.addEventListener('input', () => shell?.update(command(why.input.value.trim() || '…')));
    cancel.addEventListener('click', () => dialog.close());
    dialog.addEventListener('cancel', (event) => {
      // Escape while the request is on its way would hide its outcome.
      if (running) event.preventDefault();
    });
    // A dialog belongs to its view: going back, or to the login page, closes it.
    const closed = new AbortController();
    for (const type of ['popstate', 'navigate-view']) {
      window.addEventListener(type, () => dialog.close(), { signal: closed.signal });
    }
    dialog.addEventListener('close', () => {
      closed.abort();
      dialog.remove();
      resolve(answer);
    });
    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      if (running || !valid(why, typed, count)) return;
      const value = { why: why?.input.value.trim() ?? '' };
      running = true;
      confirm.setAttribute('aria-disabled', 'true');
      cancel.disabled = true;
      replace(failure);
      try {
        const result = action ? await action(value) : undefined;
        answer = { ...value, result };
        dialog.close();
      } catch (error) {
        replace(failure, problemBox(error, { level: 3 }));
      } finally {
        running = false;
        confirm.removeAttribute('aria-disabled');
        cancel.disabled = false;
      }
    });
    document.body.append(dialog);
    dialog.showModal();
    (why?.input ?? typed?.input ?? cancel).focus();
  });
}

function whyField(hint) {
  return field({
    label: 'Why',
    hint,
    input: h('input', { type: 'text', name: 'why', required: true, maxlength: '500', autocomplete: 'off' }),
  });
}

function countField(count) {
  return field({
    label: `Type ${count} to confirm`,
    hint: 'So that nothing is run by accident.',
    input: h('input', { type: 'text', name: 'count', inputmode: 'numeric', required: true, autocomplete: 'off' }),
  });
}

function valid(why, typed, count) {
  const checks = [
    [why, why?.input.value.trim() !== '', 'Write down why: one sentence is enough.'],
    [typed, typed?.input.value.replace(/[\s,.]/g, '') === String(count), `Type ${count}, the number that the preview names.`],
  ];
  let first = null;
  for (const [checked, right, sentence] of checks) {
    if (!checked) continue;
    checked.setError(right ? null : sentence);
    if (!right) first ??= checked;
  }
  first?.input.focus();
  return first === null;
}
