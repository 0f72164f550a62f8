// Discards dead letters that will never be used, with a note.

import { newIdempotencyKey, post } from '../api.js';
import { closablePanel } from '../components/closable-panel.js';
import { confirmDialog } from '../components/confirm-dialog.js';
import { commandOf } from '../commands.js';
import { h } from '../dom.js';
import { plural } from '../format.js';
import { discardRecordedText } from '../models/run-words.js';
import { runPanel } from '../runs/run-panel.js';

/**
 * Asks for the note, then starts the run.
 *
 * @param {string} service
 * @param {string[]} ids
 * @param {object} session
 * @returns {Promise<string|null>} the id of the run, or null when the reader cancelled
 */
export async function discard(service, ids, session) {
  const key = newIdempotencyKey();
  const request = (why) => ({ kind: 'discard', service, ids, why, confirm: ids.length });
  const answer = await confirmDialog({
    title: `Discard ${plural(ids.length, 'dead letter', 'dead letters')}?`,
    body: [
      h(
        'p',
        null,
        'They are closed without being used: no redrive tries them again, and nothing is written for their orders.',
      ),
      h('p', null, 'Their bytes stay in the dead letter topic.'),
    ],
    confirmLabel: 'Discard',
    danger: true,
    count: ids.length > 1 ? ids.length : undefined,
    why: true,
    whyHint: discardRecordedText(session, service),
    command: (why) => commandOf(request(why), session.name),
    action: ({ why }) => post('/api/runs', request(why), { idempotencyKey: key }),
  });
  return answer?.result.id ?? null;
}

/**
 * Shows the run that discards dead letters.
 *
 * @param {object} options
 * @param {string} options.id of the run
 * @param {number} options.count
 * @param {AbortSignal} options.signal
 * @param {object} options.session
 * @param {function(object)} options.onEnd is called with the RunView that has ended
 * @param {function()} options.onClose is called when the reader closes the panel
 * @returns {HTMLElement} with `focusTitle()`
 */
export function discardPanel({ id, count, signal, session, onEnd, onClose }) {
  const title = `Discard of ${plural(count, 'dead letter', 'dead letters')}`;
  return closablePanel({ title, onClose }, runPanel(id, { signal, session, label: 'Discard', onEnd }));
}
