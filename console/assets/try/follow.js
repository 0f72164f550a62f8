// An order followed hop by hop until it has arrived. The console searches no whole partitions for it: that
// takes long, and would be repeated.

import { get, isAborted, path } from '../api.js';
import { announce } from '../components/announce.js';
import { problemBox } from '../components/problem.js';
import { stateBadge } from '../components/state-badge.js';
import { timeElement } from '../components/time.js';
import { h, replace, setText } from '../dom.js';
import { millis, sentence as sentenceOf } from '../format.js';
import { delayText, hopLabel, isHeldUp, LATE_MILLIS, longestMillis, millisWaiting, totalMillis, verdict, whyGivenUp } from './hops.js';
import { isPermanent, pauseMillis } from './pace.js';

// An order that has not arrived by then waits for something that the flow view shows better.
const GIVE_UP_MILLIS = 10 * 60 * 1000;

/**
 * Follows an order until it has arrived or `signal` aborts.
 *
 * @param {string} orderId
 * @param {{signal: AbortSignal}} options
 * @returns {HTMLElement} with `look()`, which asks at once
 */
export function followOrder(orderId, { signal }) {
  const heading = h('h2', { class: 'follow-title', tabindex: '-1' }, 'Order ', h('span', { class: 'mono' }, orderId));
  const badge = stateBadge('waiting', 'Following');
  const sentence = h('p', { class: 'follow-verdict' }, 'Looking for its records …');
  const list = h('ol', { class: 'hops' });
  const failure = h('div');
  const flow = h('a', { class: 'button', href: '/flow', hidden: true }, 'See what holds it up');
  const resume = h('button', { type: 'button', class: 'button', hidden: true, onclick: followFurther }, 'Follow it further');
  const explain = h('a', { class: 'button', href: path`/orders/${orderId}` }, 'Explain this order');
  const more = h('div', { class: 'actions' }, explain, flow, resume);
  const element = h('div', { class: 'follow' }, h('div', { class: 'view-head' }, heading, badge), sentence, failure, list, more);
  let started = 0;
  let timer = 0;
  let asking = false;
  let ended = false;
  let isKnown = false;
  let heldUp = false;
  let lastError = null;
  let quiet = 0;
  let seen = '';
  let said = '';

  element.look = () => {
    clearTimeout(timer);
    started = Date.now();
    if (ended) {
      badge.update('waiting', 'Following');
      setText(sentence, 'Looking for its records …');
      replace(failure);
    }
    [ended, quiet, resume.hidden] = [false, 0, true];
    ask();
  };
  signal.addEventListener('abort', () => clearTimeout(timer));
  document.addEventListener('visibilitychange', () => timer === 0 && !ended && ask(), { signal });
  element.look();
  return element;

  function followFurther() {
    element.look();
    // The button that had the focus is hidden.
    heading.focus();
  }

  async function ask() {
    timer = 0;
    if (asking || signal.aborted || document.hidden) return;
    asking = true;
    try {
      const answer = await get(path`/api/orders/${orderId}/path?no_scan=true`, { signal });
      replace(failure);
      note(answer);
      show(answer);
    } catch (error) {
      if (isAborted(error)) return;
      fail(error);
    } finally {
      asking = false;
    }
    if (!ended && !signal.aborted) next();
  }

  // Counts the answers that brought nothing new.
  function note(answer) {
    const hops = JSON.stringify(answer.hops);
    quiet = hops === seen ? quiet + 1 : 0;
    seen = hops;
    isKnown = answer.found !== false;
    lastError = null;
    ended = answer.complete;
  }

  function next() {
    if (Date.now() - started > GIVE_UP_MILLIS) giveUp();
    else timer = setTimeout(ask, pauseMillis(quiet, isKnown && lastError === null));
  }

  function giveUp() {
    [ended, resume.hidden] = [true, false];
    badge.update('stopped', 'No longer followed');
    // The error that is shown says that it is asked again.
    if (lastError) replace(failure, problemBox(lastError, { level: 3 }));
    const text = whyGivenUp({ hasFailed: lastError !== null, isKnown, isHeldUp: heldUp, said });
    setText(sentence, text);
    announce(text);
  }

  function show(answer) {
    const total = totalMillis(answer.hops);
    const waited = answer.complete ? null : millisWaiting(answer.hops);
    const late = waited !== null && waited >= LATE_MILLIS;
    const text = verdict(answer, late);
    heldUp = late && isHeldUp(answer.hops);
    flow.hidden = !late;
    badge.update(answer.complete ? 'done' : 'waiting', answer.complete ? 'Complete' : 'Following');
    if (answer.complete && total !== null) setText(sentence, `${text} ${millis(total)} from first to last.`);
    else setText(sentence, late ? `${text} ${delayText(answer.hops, waited)}` : text);
    if (text !== said && answer.found !== false) announce(text);
    said = text;
    const longest = longestMillis(answer.hops);
    replace(list, answer.hops.map((hop) => hopItem(hop, longest)));
  }

  function fail(error) {
    const { status } = error.problem ?? {};
    ended = isPermanent(status);
    quiet += 1;
    lastError = error;
    // The page for signing in is shown then.
    if (status === 401) return;
    if (ended) {
      badge.update('stopped', 'Not followed');
      setText(sentence, 'This order cannot be followed.');
    }
    // Shows one alert until the order is read again, because a screen reader reads out every new alert.
    if (!ended && failure.firstChild) return;
    const hint = ended ? null : 'The page tries again, less often over time.';
    replace(failure, problemBox(error, { level: 3, hint }));
  }
}

/** Shows one hop; `longest` is the slowest hop of the order, for the length of the bar. */
export function hopItem(hop, longest) {
  const took = hop.millis_since_previous;
  return h(
    'li',
    { class: 'hop', dataset: { state: hop.state } },
    h('span', { class: 'hop-name' }, hopLabel(hop.name)),
    stateBadge(hop.state),
    h('span', { class: 'hop-at' }, hop.at ? timeElement(hop.at, 'clockMillis') : ''),
    h('span', { class: 'hop-took' }, typeof took === 'number' ? `+${millis(took)}` : ''),
    h('meter', { class: 'hop-bar', min: '0', max: String(longest), value: String(took ?? 0), 'aria-hidden': 'true' }),
    hop.text ? h('p', { class: 'hop-text' }, sentenceOf(hop.text)) : null,
  );
}
