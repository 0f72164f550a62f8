// One run: its state, its progress, and how it ended.

import { path } from '../api.js';
import { commandLine } from '../components/command-line.js';
import { announce } from '../components/announce.js';
import { problemBox } from '../components/problem.js';
import { stateBadge } from '../components/state-badge.js';
import { h, replace, setAttribute, setText } from '../dom.js';
import { millis } from '../format.js';
import { sentence } from '../models/order-story.js';
import { endingOf, hasEnded, mayStop, progressOf, shownState, tookOf } from '../models/run-words.js';
import { followRun } from './follow.js';
import { stopLabel, stopRun } from './stop.js';

/**
 * Follows a run until it has ended, and shows it in a few lines.
 *
 * @param {string} id
 * @param {object} options
 * @param {AbortSignal} options.signal
 * @param {object} options.session decides whether there is a button that stops it
 * @param {string|null} options.label what it is, such as "Preview"; null where that is said already
 * @param {function(object)} [options.onRun] is called with each RunView
 * @param {function(object)} [options.onEnd] is called once, with the RunView that has ended
 * @param {boolean} [options.link] adds a link to the run's own page
 * @param {boolean} [options.command] shows the run's command line
 * @param {number} [options.level] of headings within
 * @returns {HTMLElement}
 */
export function runPanel(
  id,
  { signal, session, label, onRun, onEnd, link = true, command = true, level = 3 },
) {
  const named = (word) => (label === null ? undefined : `${label}: ${word}`);
  const badge = stateBadge('running', named('running'));
  const took = h('span', { class: 'muted small' });
  const text = h('p', { class: 'run-text' });
  const bar = progressBar(label ?? 'Progress');
  const failure = h('div');
  const shell = commandLine('');
  shell.hidden = true;
  const stop = h('button', { type: 'button', class: 'button small', onclick: () => stopRun(shown) }, 'Stop');
  stop.hidden = true;
  let shown = null;
  const element = h(
    'div',
    { class: 'run-panel' },
    h(
      'div',
      { class: 'run-line' },
      badge,
      took,
      h('span', { class: 'spacer' }),
      link ? h('a', { href: path`/runs/${id}` }, 'Open this run') : null,
      stop,
    ),
    bar.element,
    text,
    failure,
    command ? shell : null,
  );

  function show(run) {
    // Announces only a change that happens while the reader watches, not one from long before.
    const endedNow = shown !== null && !hasEnded(shown.state) && hasEnded(run.state);
    shown = run;
    replace(failure);
    const state = shownState(run);
    badge.update(state, named(state));
    setText(stop, stopLabel(run));
    setText(took, millis(tookOf(run)));
    stop.hidden = !mayStop(run, session);
    shell.hidden = false;
    shell.update(run.command);
    showProgress(run);
    if (endedNow) announce(endingOf(run));
    onRun?.(run);
    if (hasEnded(run.state)) onEnd?.(run);
  }

  function showProgress(run) {
    const ended = hasEnded(run.state);
    bar.element.hidden = ended;
    text.className = run.state === 'failed' ? 'run-text bad' : 'run-text';
    if (ended) {
      setText(text, sentence(run.summary));
      return;
    }
    const { ratio, text: words } = progressOf(run);
    bar.update(ratio, words);
    setText(text, run.state === 'stopping' ? 'It finishes what is half done, then ends.' : words);
  }

  function fail(error) {
    const isUnknown = error.problem?.status === 404;
    if (isUnknown) {
      badge.update('unknown', named('unknown'));
      bar.element.hidden = true;
      stop.hidden = true;
      setText(text, '');
    } else if (failure.firstChild) {
      // Shows one alert until the run is fetched again, because a screen reader reads out every new alert.
      return;
    }
    replace(failure, problemBox(error, { level, hint: hintFor(isUnknown) }));
  }

  bar.update(null, 'It begins.');
  followRun(id, { signal, onRun: show, onError: fail });
  return element;
}

function hintFor(isUnknown) {
  return isUnknown
    ? 'What a run had committed when the console was stopped is kept.'
    : 'If only the connection is lost, the run goes on. A console that is stopped stops its runs; what they have committed is kept.';
}

/** A bar that says how much is done; without a ratio it says only that something is being done. */
function progressBar(label) {
  const fill = h('div', { class: 'progress-fill' });
  const element = h(
    'div',
    {
      class: 'progress',
      role: 'progressbar',
      'aria-label': label,
      'aria-valuemin': '0',
      'aria-valuemax': '100',
    },
    fill,
  );
  return {
    element,
    update(ratio, words) {
      element.classList.toggle('indeterminate', ratio === null);
      setAttribute(element, 'aria-valuenow', ratio === null ? null : Math.floor(ratio * 100));
      setAttribute(element, 'aria-valuetext', words);
      fill.style.setProperty('inline-size', ratio === null ? '' : `${(ratio * 100).toFixed(1)}%`);
    },
  };
}
