// An order followed hop by hop: each second until it has arrived.

import { get, isAborted, path } from '../api.js';
import { announce } from '../components/announce.js';
import { problemBox } from '../components/problem.js';
import { stateBadge } from '../components/state-badge.js';
import { timeElement } from '../components/time.js';
import { h, replace, setText } from '../dom.js';
import { millis, sentence as sentenceOf } from '../format.js';
import { hopLabel, longestMillis, millisWaiting, totalMillis, verdict } from './hops.js';

const POLL_MILLIS = 1000;
// An order that has not arrived by then waits for something that the flow view shows better.
const GIVE_UP_MILLIS = 10 * 60 * 1000;
// An order arrives in well under a second. After this something holds it up, and the flow view names it.
const LATE_MILLIS = 5000;

/**
 * Follows an order until it has arrived or `signal` aborts.
 *
 * @param {string} orderId
 * @param {{signal: AbortSignal}} options
 * @returns {HTMLElement} with `look()`, which asks at once
 */
export function followOrder(orderId, { signal }) {
  const heading = h('h2', { class: 'follow-title' }, 'Order ', h('span', { class: 'mono' }, orderId));
  const badge = stateBadge('waiting', 'Following');
  const sentence = h('p', { class: 'follow-verdict' }, 'Looking for its records …');
  const list = h('ol', { class: 'hops' });
  const failure = h('div');
  const flow = h('a', { class: 'button', href: '/flow', hidden: true }, 'See what holds it up');
  const more = h('div', { class: 'actions' }, h('a', { class: 'button', href: path`/orders/${orderId}` }, 'Explain this order'), flow);
  const element = h('div', { class: 'follow' }, h('div', { class: 'view-head' }, heading, badge), sentence, failure, list, more);
  const started = Date.now();
  let timer = 0;
  let asking = false;
  let said = '';

  element.look = () => {
    clearTimeout(timer);
    ask();
  };
  signal.addEventListener('abort', () => clearTimeout(timer));
  document.addEventListener('visibilitychange', () => !document.hidden && timer === 0 && element.look(), { signal });
  ask();
  return element;

  async function ask() {
    timer = 0;
    if (asking || signal.aborted || document.hidden) return;
    asking = true;
    let again = true;
    try {
      const answer = await get(path`/api/orders/${orderId}/path`, { signal });
      replace(failure);
      again = !answer.complete;
      show(answer);
    } catch (error) {
      if (isAborted(error)) return;
      again = fail(error);
    } finally {
      asking = false;
    }
    if (again && Date.now() - started > GIVE_UP_MILLIS) {
      badge.update('stopped', 'No longer followed');
      setText(sentence, 'It has not arrived in 10 minutes. The flow shows what holds it up.');
    } else if (again && !signal.aborted) {
      timer = setTimeout(ask, POLL_MILLIS);
    }
  }

  function show(answer) {
    const total = totalMillis(answer.hops);
    const text = verdict(answer);
    const waited = answer.complete ? null : millisWaiting(answer.hops);
    const late = waited !== null && waited >= LATE_MILLIS;
    flow.hidden = !late;
    badge.update(answer.complete ? 'done' : 'waiting', answer.complete ? 'Complete' : 'Following');
    if (answer.complete && total !== null) setText(sentence, `${text} ${millis(total)} from first to last.`);
    else setText(sentence, late ? `${text} It has waited for ${millis(waited)}.` : text);
    if (text !== said && answer.found !== false) announce(text);
    said = text;
    const longest = longestMillis(answer.hops);
    replace(list, answer.hops.map((hop) => hopItem(hop, longest)));
  }

  // Returns whether to ask again.
  function fail(error) {
    const { status } = error.problem ?? {};
    if (status === 401) return false;
    replace(failure, problemBox(error, { level: 3, hint: 'It is asked again by itself.' }));
    return true;
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
