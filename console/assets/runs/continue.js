// Continues a backfill that was paused, or that failed.

import { newIdempotencyKey, path, post } from '../api.js';
import { confirmDialog } from '../components/confirm-dialog.js';
import { commandOf } from '../commands.js';
import { h } from '../dom.js';
import { canContinue, recordedText } from '../models/run-words.js';
import { navigate } from '../navigate.js';

/** Returns a button that continues a run, or null when it can't be continued by this reader. */
export function continueButton(run, session) {
  const { name } = run.request;
  if (!canContinue(run) || !name || session?.role !== 'operator') return null;
  return h(
    'button',
    { type: 'button', class: 'button primary', onclick: () => continueRun(run, session) },
    'Continue …',
  );
}

async function continueRun(run, session) {
  const key = newIdempotencyKey();
  const request = (why) => ({ ...run.request, why });
  const answer = await confirmDialog({
    title: `Continue ${run.request.name}?`,
    body: 'It goes on where it ended, with its own range and the same rule and keys. What it had issued is not issued again.',
    confirmLabel: 'Continue',
    why: true,
    whyHint: recordedText(session, run.service),
    command: (why) => commandOf(request(why), session.name),
    action: ({ why }) => post('/api/runs', request(why), { idempotencyKey: key }),
  });
  if (answer) navigate(path`/runs/${answer.result.id}`);
}
