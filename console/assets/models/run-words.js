// Runs in words: pure.

import { millis, number, plural } from '../format.js';
import { sentence } from './order-story.js';

const ENDED = new Set(['done', 'failed', 'stopped']);

/** Returns whether a run with this state has ended. */
export function hasEnded(state) {
  return ENDED.has(state);
}

/** Returns what a run does: "Redrive of processor", "Preview: backfill may". */
export function titleOf(run) {
  const what = {
    redrive: `redrive of ${run.service}`,
    discard: `discard of ${run.service}`,
    backfill: `backfill${run.request?.name ? ` ${run.request.name}` : ''}`,
  };
  const words = Object.hasOwn(what, run.kind) ? what[run.kind] : run.kind;
  return run.dry_run ? `Preview: ${words}` : words[0].toUpperCase() + words.slice(1);
}

/**
 * Returns whether the same command continues where a run ended: a backfill keeps its progress under its
 * name. Other commands begin anew, and find less to do.
 */
export function canContinue(run) {
  return run.kind === 'backfill' && !run.dry_run && (run.state === 'stopped' || run.state === 'failed');
}

/** Returns the state to show: a stopped run that can be continued is paused. */
export function shownState(run) {
  return run.state === 'stopped' && canContinue(run) ? 'paused' : run.state;
}

/** Returns how the command of a run is stopped where it was started from a shell, and continued. */
export function stopFromShell(run) {
  const stop = 'In a shell, Ctrl-C or kill -INT PID does the same.';
  const isContinued = run.kind === 'backfill' && !run.dry_run;
  return isContinued ? `${stop} The same command with the same --name continues it.` : stop;
}

/** Returns the audit topic of the commands of a service, or null when they have none. */
export function auditTopicOf(session, service) {
  return session?.audit_topics?.[service] ?? null;
}

/** Returns where it is recorded who does something with a command of `service`, and why. */
export function recordedText(session, service) {
  const topic = auditTopicOf(session, service);
  return topic === null
    ? 'No audit topic is set, so it is recorded only in the console’s log, with your name.'
    : `Recorded in ${topic} with your name, for whoever asks later.`;
}

/** Returns where it is recorded who discards dead letters of `service`, and why: their states keep the note. */
export function discardRecordedText(session, service) {
  const isAudited = auditTopicOf(session, service) !== null;
  const recorded = isAudited
    ? recordedText(session, service)
    : 'No audit topic is set, so only the console’s log has your name.';
  return `The note is kept with each of them. ${recorded}`;
}

/** Returns how a run ended, for a screen reader. */
export function endingOf(run) {
  const endings = { done: 'is done', failed: 'failed', stopped: 'was stopped', paused: 'is paused' };
  const ending = endings[shownState(run)] ?? run.state;
  return `${titleOf(run)} ${ending}.${run.summary ? ` ${sentence(run.summary)}` : ''}`;
}

/** Returns how long a run has run, in milliseconds; null when its times are unusable. */
export function tookOf(run, now = Date.now()) {
  const from = Date.parse(run.started);
  const to = run.ended ? Date.parse(run.ended) : now;
  return Number.isFinite(from) && Number.isFinite(to) ? Math.max(0, to - from) : null;
}

/**
 * Returns the progress for a bar and in words.
 *
 * @returns {{ratio: number|null, text: string}} the ratio is null while the total is not known
 */
export function progressOf(run) {
  const { progress } = run;
  const unit = run.kind === 'backfill' ? ['offset', 'offsets'] : ['dead letter', 'dead letters'];
  if (!progress) return { ratio: null, text: 'It has begun. It does not say yet how much there is to do.' };
  const { done, total, per_second: speed, limit } = progress;
  const ratio = total > 0 ? Math.min(done / total, 1) : null;
  let text = total > 0 ? `${number(done)} of ${plural(total, ...unit)}` : plural(done, ...unit);
  if (speed > 0) text += `, ${number(speed)} a second`;
  const left = speed > 0 && total > done ? ((total - done) / speed) * 1000 : null;
  if (left !== null) text += `, about ${millis(left)} left`;
  if (limit?.group) {
    text +=
      `. It gives way to the live flow: at most ${number(limit.per_second)} records a second, because the group ` +
      `${limit.group} was ${millis(limit.lag_ms)} behind`;
  }
  return { ratio, text };
}

/** Returns whether this session may stop a run. A viewer may stop the previews of their own. */
export function mayStop(run, session) {
  if (run.state !== 'running') return false;
  return session?.role === 'operator' || (run.dry_run && run.by === session?.name);
}
