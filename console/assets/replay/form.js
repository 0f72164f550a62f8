// The form of a replay.

import { actionButton } from '../components/action-button.js';
import { commandLine } from '../components/command-line.js';
import { field } from '../components/field.js';
import { commandOf } from '../commands.js';
import { h } from '../dom.js';
import { ENDS, faultsOf, requestOf, STARTS } from '../models/replay-form.js';

/**
 * @param {object} initial a form as in models/replay-form.js
 * @param {function(object): Promise} onPreview is called with a form without faults
 * @returns {HTMLElement}
 */
export function replayForm(initial, onPreview) {
  const fields = {
    start: field({ label: 'From', input: select('start', STARTS, initial.start) }),
    startTime: field({
      label: 'From the time',
      hint: zoneHint(),
      input: time('startTime', initial.startTime),
    }),
    end: field({ label: 'To', input: select('end', ENDS, initial.end) }),
    endTime: field({ label: 'Until the time', hint: zoneHint(), input: time('endTime', initial.endTime) }),
    name: field({
      label: 'Name',
      hint: 'Under its name a run that was stopped continues. Empty: it is named when it is run.',
      input: text('name', initial.name),
    }),
    rate: field({
      label: 'Records a second',
      hint: 'At most so many, all threads together. Empty: as many as the live flow bears. Write max for no limit.',
      input: text('rate', initial.rate),
    }),
    ...ruleFields(initial.rule),
  };
  const shell = commandLine('');
  const whatIf = h(
    'details',
    { class: 'details', open: Object.values(initial.rule).some((value) => value !== '') },
    h('summary', null, 'What if the rule were another?'),
    h(
      'p',
      { class: 'muted small' },
      'What is left empty is as in the environment of the services. A rule that is tried here issues nothing: its ' +
        'vouchers are counted and compared with those of today’s rule.',
    ),
    h(
      'div',
      { class: 'form-row' },
      ['min_total', 'amount', 'currency'].map((name) => fields[name].element),
    ),
    h(
      'div',
      { class: 'form-row' },
      ['valid_days', 'sent_from', 'sent_until'].map((name) => fields[name].element),
    ),
  );
  const preview = actionButton('Preview', submit, {
    class: 'button primary',
    busy: 'Starting',
    type: 'submit',
  });
  const form = h(
    'form',
    { class: 'form', novalidate: true, 'aria-label': 'What is replayed' },
    h(
      'div',
      { class: 'form-row range' },
      fields.start.element,
      fields.startTime.element,
      fields.end.element,
      fields.endTime.element,
    ),
    h('div', { class: 'form-row' }, fields.name.element, fields.rate.element),
    whatIf,
    h('div', { class: 'actions' }, preview, h('span', { class: 'muted small' }, 'A preview writes nothing.')),
    shell,
  );
  form.addEventListener('input', refresh);
  form.addEventListener('submit', (event) => event.preventDefault());
  refresh();
  return form;

  function values() {
    const value = (name) => fields[name].input.value;
    const rule = Object.fromEntries(Object.keys(initial.rule).map((name) => [name, value(name)]));
    return {
      start: value('start'),
      startTime: value('startTime'),
      end: value('end'),
      endTime: value('endTime'),
      name: value('name'),
      rate: value('rate'),
      rule,
    };
  }

  function refresh() {
    const form = values();
    fields.startTime.element.hidden = form.start !== 'time';
    fields.endTime.element.hidden = form.end !== 'time';
    shell.update(commandOf(requestOf(form)));
  }

  async function submit() {
    const form = values();
    const faults = faultsOf(form);
    let first = null;
    for (const [name, shown] of Object.entries(fields)) {
      shown.setError(faults.get(name) ?? null);
      if (faults.has(name)) first ??= shown;
    }
    if (first) {
      if (whatIf.contains(first.input)) whatIf.open = true;
      first.input.focus();
      return;
    }
    await onPreview(form);
  }
}

function ruleFields(rule) {
  return {
    min_total: field({
      label: 'Smallest total',
      hint: 'That earns a voucher, such as 80.00.',
      input: text('min_total', rule.min_total, { inputmode: 'decimal' }),
    }),
    amount: field({
      label: 'Value of a voucher',
      hint: 'Such as 7.50.',
      input: text('amount', rule.amount, { inputmode: 'decimal' }),
    }),
    currency: field({
      label: 'Currency',
      hint: 'Three letters.',
      input: text('currency', rule.currency, { maxlength: '3' }),
    }),
    valid_days: field({
      label: 'Days that it is valid',
      hint: '1 to 3650.',
      input: text('valid_days', rule.valid_days, { inputmode: 'numeric' }),
    }),
    sent_from: field({ label: 'Sent from', hint: zoneHint(), input: time('sent_from', rule.sent_from) }),
    sent_until: field({ label: 'Sent until', hint: zoneHint(), input: time('sent_until', rule.sent_until) }),
  };
}

function text(name, value, more = {}) {
  return h('input', { type: 'text', name, value, autocomplete: 'off', spellcheck: 'false', ...more });
}

function time(name, value) {
  return h('input', { type: 'datetime-local', name, value, step: '1' });
}

function select(name, options, chosen) {
  return h(
    'select',
    { name },
    options.map(({ value, label }) => h('option', { value, selected: value === chosen }, label)),
  );
}

function zoneHint() {
  return `In the zone ${Intl.DateTimeFormat().resolvedOptions().timeZone}.`;
}
