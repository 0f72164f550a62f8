// Stops a run, after asking.

import { path, remove } from '../api.js';
import { confirmDialog } from '../components/confirm-dialog.js';
import { h } from '../dom.js';
import { stopFromShell } from '../models/run-words.js';

/** Returns what the button says: a backfill goes on later where it ended. */
export function stopLabel(run) {
  return run.kind === 'backfill' && !run.dry_run ? 'Pause' : 'Stop';
}

/** Asks, then stops the run. Returns whether it was asked to stop. */
export async function stopRun(run) {
  const answer = await confirmDialog({
    title: `${stopLabel(run)} this run?`,
    body: [h('p', null, consequence(run)), h('p', { class: 'muted small' }, stopFromShell(run))],
    confirmLabel: `${stopLabel(run)} it`,
    danger: !run.dry_run,
    action: () => remove(path`/api/runs/${run.id}`),
  });
  return answer !== null;
}

function consequence(run) {
  if (run.dry_run) return 'A preview writes nothing. Stopping it loses only what it has counted so far.';
  if (run.kind === 'backfill') {
    return (
      'It finishes the transaction that is open and ends. What is committed is kept; the same command with ' +
      'the same name continues where it ended.'
    );
  }
  return (
    'It finishes the transaction that is open and ends. What is committed is kept; dead letters that it has ' +
    'not reached stay open.'
  );
}
