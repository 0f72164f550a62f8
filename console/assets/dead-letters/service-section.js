// The dead letters of one service: by reason, one by one, and what can be done with them.

import { get, isAborted, query } from '../api.js';
import { announce } from '../components/announce.js';
import { commandLine } from '../components/command-line.js';
import { keepFocus } from '../components/keep-focus.js';
import { emptyState } from '../components/empty-state.js';
import { loading, problemBox } from '../components/problem.js';
import { timeElement } from '../components/time.js';
import { listCommand } from '../commands.js';
import { h, replace, setText, uniqueId } from '../dom.js';
import { number, plural } from '../format.js';
import {
  MAX_IDS,
  coveredBy,
  isWhole,
  lettersOf,
  listedText,
  offersActions,
  openIds,
  othersOf,
  reasonsOf,
} from '../models/dead-letters.js';
import { discard, discardPanel } from './discard.js';
import { lettersTable } from './letters-table.js';
import { reasonsTable } from './reasons-table.js';
import { redrivePanel } from './redrive-panel.js';

const TITLES = {
  processor: 'Order statuses that the processor could not use',
  sink: 'Vouchers that the sink could not write',
};

/**
 * @param {object} options
 * @param {'processor'|'sink'} options.service
 * @param {string|null} options.only the reason whose dead letters are listed
 * @param {boolean} options.all list closed dead letters too
 * @param {AbortSignal} options.signal
 * @param {object} options.session
 * @param {function(string|null)} options.onOnly is told which reason is listed alone
 * @returns {HTMLElement} with `load()` and `setAll(all)`
 */
export function serviceSection({ service, only, all, signal, session, onOnly }) {
  const isOperator = session?.role === 'operator';
  const selected = new Set();
  const headingId = uniqueId('service');
  const counts = h('span', { class: 'muted' });
  const readAt = h('span', { class: 'muted small' });
  const panel = h('div', { class: 'section' });
  const body = h('div', { class: 'section' });
  const bar = selectionBar();
  const shell = commandLine(listCommand(service));
  let list = null;
  // Whether there are dead letters that one request does not list.
  let hasOthers = false;
  let tables = [];
  let showAll = all;
  // The ids that the redrive names whose panel is open; null without one.
  let covered = null;

  const element = h(
    'section',
    { class: 'card', id: service, 'aria-labelledby': headingId },
    h('div', { class: 'view-head' }, h('h2', { id: headingId }, TITLES[service]), counts),
    panel,
    body,
    bar.element,
    h('div', { class: 'section-foot' }, shell, readAt),
  );

  element.load = whole(async () => {
    if (!list) replace(body, loading(`Reading the dead letters of the ${service}`));
    try {
      list = await fetchList();
      keepFocus(body, render);
    } catch (error) {
      if (!isAborted(error)) replace(body, problemBox(error, { retry: element.load, level: 3 }));
    }
  });

  element.setAll = (value) => {
    showAll = value;
    element.load();
  };

  // One request lists enough for most; beyond that, those of the chosen reason are fetched by themselves.
  async function fetchList() {
    const parameters = { service, limit: MAX_IDS, all: showAll ? 'true' : null };
    const everything = await get(`/api/dead-letters${query(parameters)}`, { signal });
    shell.update(everything.command ?? listCommand(service, { all: showAll, limit: MAX_IDS }));
    hasOthers = !isWhole(everything);
    if (only === null || !hasOthers) return everything;
    const ofReason = await get(`/api/dead-letters${query({ ...parameters, reason: only })}`, { signal });
    return { ...everything, letters: ofReason.letters, selected: ofReason.selected };
  }

  function render() {
    setText(counts, `${number(list.open)} open, ${number(list.all - list.open)} closed`);
    replace(readAt, 'Read at ', timeElement(Date.now(), 'clock'));
    const present = new Set(openIds(list.letters));
    for (const id of selected) if (!present.has(id)) selected.delete(id);
    const letters = lettersOf(list, only);
    if (list.all === 0) replace(body, nothing(), notes());
    else replace(body, reasons(), heading(letters), letterList(letters), notes());
    showSelection();
  }

  function reasons() {
    const table = reasonsTable({
      service,
      reasons: reasonsOf(list),
      selected,
      only,
      onSelect: showSelection,
      onOnly: choose,
      onRedrive: (reason) => openRedrive({ service, reason }, `Redrive all open dead letters of ${reason}`),
      redriveLabel: isOperator ? 'Redrive' : 'Preview',
    });
    tables = [table];
    return table;
  }

  function heading(letters) {
    const what = showAll ? 'dead letters' : 'open dead letters';
    const text = only === null ? `The ${what}` : `The ${what} of ${only}`;
    return h(
      'div',
      { class: 'view-head' },
      h('h3', null, text),
      only === null
        ? null
        : h(
            'button',
            { type: 'button', class: 'button small', onclick: () => choose(null) },
            'List all reasons',
          ),
      isWhole(list) ? null : h('p', { class: 'muted small' }, listedText(list)),
    );
  }

  function letterList(letters) {
    if (letters.length === 0) {
      return h(
        'p',
        { class: 'muted' },
        'None is open. "Show closed ones" above lists their outcomes.',
      );
    }
    const table = lettersTable(service, letters, selected, showSelection);
    tables.push(table);
    return table;
  }

  function nothing() {
    return emptyState({
      title: 'There are no dead letters',
      text:
        service === 'processor'
          ? 'Every order status could be used. One that can’t be is kept here byte for byte, and the flow goes on.'
          : 'The table has refused no voucher. One that it refuses is kept here byte for byte, and the flow goes on.',
      level: 3,
    });
  }

  function notes() {
    const sentences = othersOf(list);
    return sentences.length > 0 ? h('p', { class: 'muted small' }, sentences.join(' ')) : null;
  }

  function choose(reason) {
    only = reason;
    onOnly(reason);
    if (hasOthers) element.load();
    else keepFocus(body, render);
    announce(reason === null ? 'All reasons are listed.' : `Only ${reason} is listed.`);
  }

  function selectionBar() {
    const text = h('strong');
    const note = h('span', { class: 'bad small' });
    const redrive = h(
      'button',
      { type: 'button', class: 'button primary', onclick: redriveSelected },
      isOperator ? 'Redrive …' : 'Preview a redrive …',
    );
    const close = isOperator
      ? h('button', { type: 'button', class: 'button danger', onclick: discardSelected }, 'Discard …')
      : null;
    const clear = h('button', { type: 'button', class: 'button quiet', onclick: clearSelection }, 'Clear');
    const bar = h(
      'div',
      {
        class: 'selection-bar',
        role: 'group',
        'aria-label': `Selected dead letters of the ${service}`,
        hidden: true,
      },
      text,
      note,
      h('span', { class: 'spacer' }),
      redrive,
      close,
      clear,
    );
    return {
      element: bar,
      update() {
        bar.hidden = !offersActions(selected, covered);
        setText(text, `${number(selected.size)} selected`);
        const tooMany = selected.size > MAX_IDS;
        setText(note, tooMany ? `At most ${MAX_IDS} at once; more are redriven by their reason.` : '');
        redrive.disabled = tooMany;
        if (close) close.disabled = tooMany;
      },
    };
  }

  function showSelection() {
    for (const table of tables) table.showSelection();
    bar.update();
  }

  /** Unselects what a run was about. What was selected since stays selected. */
  function unselect(ids) {
    for (const id of ids) selected.delete(id);
  }

  function clearSelection() {
    selected.clear();
    showSelection();
    element.querySelector('h2').focus();
  }

  function redriveSelected() {
    const ids = [...selected];
    openRedrive({ service, ids }, `Redrive ${plural(ids.length, 'dead letter', 'dead letters')}`);
  }

  function openRedrive(selection, title) {
    const begun = coveredBy(selection);
    const onDone = (run) => {
      // The panel of one that failed has a button to preview it again.
      if (run.state === 'done') {
        unselect(begun);
        // Another one may have been opened since.
        if (covered === begun) covered = null;
      }
      element.load();
    };
    covered = begun;
    replace(panel, redrivePanel({ selection, title, signal, session, onDone, onClose: closePanel }));
    bar.update();
  }

  function closePanel() {
    covered = null;
    replace(panel);
    bar.update();
    element.querySelector('h2').focus();
  }

  async function discardSelected() {
    const ids = [...selected];
    const id = await discard(service, ids, session);
    if (id === null) return;
    const onEnd = (run) => {
      if (run.state === 'done') unselect(ids);
      element.load();
    };
    covered = null;
    const shown = discardPanel({ id, count: ids.length, signal, session, onEnd, onClose: closePanel });
    replace(panel, shown);
    bar.update();
    // The bar with the button goes away with the selection.
    shown.focusTitle();
  }

  element.querySelector('h2').tabIndex = -1;
  return element;
}

/** Runs one load at a time. All requests during a load cause one further load, which sees the newest state. */
function whole(load) {
  let running = null;
  let again = false;
  return async function run() {
    if (running) {
      again = true;
      return running;
    }
    running = load();
    await running;
    running = null;
    if (!again) return null;
    again = false;
    return run();
  };
}
