// The form of a replay, converted to a request and to an address, and validated. Pure.

/** Choices for the start of the range. Those with `hours` are made a time when the replay is previewed. */
export const STARTS = [
  { value: 'earliest', label: 'Everything the topic holds' },
  { value: '24h', label: 'The last 24 hours', hours: 24 },
  { value: '7d', label: 'The last 7 days', hours: 7 * 24 },
  { value: '30d', label: 'The last 30 days', hours: 30 * 24 },
  { value: 'time', label: 'From a time …' },
];

/** Choices for its end. */
export const ENDS = [
  { value: 'latest', label: 'The end of the topic' },
  { value: 'time', label: 'Until a time …' },
];

/** The fields of a rule that can be tried, by their names in a request. */
export const RULE_FIELDS = ['min_total', 'amount', 'currency', 'valid_days', 'sent_from', 'sent_until'];

const TIME_FIELDS = new Set(['sent_from', 'sent_until']);
const MONEY = /^\d{1,15}(\.\d{1,18})?$/;
const NAME = /^[A-Za-z0-9._-]{1,64}$/;

/** The empty form. Times have the format of an input of the type datetime-local. */
export const EMPTY = {
  start: 'earliest',
  startTime: '',
  end: 'latest',
  endTime: '',
  name: '',
  rate: '',
  rule: Object.fromEntries(RULE_FIELDS.map((field) => [field, ''])),
};

/**
 * Returns the request of a preview.
 *
 * "The last 7 days" becomes a time, so that the run that follows reads the range that was previewed.
 */
export function requestOf(form, now = Date.now()) {
  const rule = {};
  for (const field of RULE_FIELDS) {
    const text = form.rule[field].trim();
    if (text !== '') rule[field] = ruleValue(field, text);
  }
  return {
    kind: 'backfill',
    dry_run: true,
    name: form.name.trim() || null,
    from: startOf(form, now),
    to: form.end === 'time' ? instantOf(form.endTime) : null,
    rule: Object.keys(rule).length > 0 ? rule : null,
    rate: form.rate.trim() || null,
  };
}

/** Returns the request of the run that was previewed. */
export function runOf(preview, { name, why }) {
  const { kind, from, to, rate } = preview;
  return { kind, dry_run: false, name: preview.name ?? name, from, to, rate, why };
}

/** Returns the mistakes in a form: the name of a field -> what to write. Empty for a valid form. */
export function faultsOf(form) {
  const faults = new Map();
  const need = (field, isRight, words) => {
    if (!isRight) faults.set(field, words);
  };
  if (form.start === 'time') need('startTime', instantOf(form.startTime), 'Write a date and a time.');
  if (form.end === 'time') need('endTime', instantOf(form.endTime), 'Write a date and a time.');
  const bounds = [startOf(form, Date.now()), instantOf(form.endTime)];
  if (form.end === 'time' && bounds.every(Boolean)) {
    need('endTime', bounds[0] < bounds[1], 'Write a time after the start.');
  }
  const { name, rate, rule } = form;
  need(
    'name',
    name.trim() === '' || NAME.test(name.trim()),
    'Write 1 to 64 letters, digits, dots, dashes or underscores.',
  );
  need(
    'rate',
    rate.trim() === '' || /^([1-9]\d{0,8}|max)$/.test(rate.trim()),
    'Write a whole number, at least 1, or max.',
  );
  for (const field of RULE_FIELDS) ruleFault(field, rule[field].trim(), need);
  return faults;
}

function ruleFault(field, text, need) {
  if (text === '') return;
  if (field === 'currency') need(field, /^[A-Za-z]{3}$/.test(text), 'Write three letters, such as EUR.');
  else if (field === 'valid_days') {
    need(field, /^\d{1,4}$/.test(text) && Number(text) >= 1 && Number(text) <= 3650, 'Write 1 to 3650 days.');
  } else if (TIME_FIELDS.has(field)) need(field, instantOf(text), 'Write a date and a time.');
  else need(field, MONEY.test(text), 'Write an amount, such as 80.00.');
}

/** Returns a form for the parameters of an address; a value that cannot be parsed is left empty. */
export function formOf(query) {
  const form = structuredClone(EMPTY);
  const start = query.get('from');
  if (STARTS.some(({ value }) => value === start && value !== 'time')) form.start = start;
  else if (instantOf(start)) Object.assign(form, { start: 'time', startTime: localTime(start) });
  if (instantOf(query.get('to'))) Object.assign(form, { end: 'time', endTime: localTime(query.get('to')) });
  form.name = query.get('name') ?? '';
  form.rate = query.get('rate') ?? '';
  for (const field of RULE_FIELDS) {
    const text = query.get(field) ?? '';
    form.rule[field] = TIME_FIELDS.has(field) ? localTime(text) : text;
  }
  return form;
}

/** Returns the parameters of an address for a form; null for values that equal those of the empty form. */
export function queryOf(form) {
  const parameters = {
    from: form.start === 'time' ? instantOf(form.startTime) : form.start,
    to: form.end === 'time' ? instantOf(form.endTime) : null,
    name: form.name.trim(),
    rate: form.rate.trim(),
  };
  if (parameters.from === EMPTY.start) parameters.from = null;
  for (const field of RULE_FIELDS) {
    const text = form.rule[field].trim();
    parameters[field] = TIME_FIELDS.has(field) ? instantOf(text) : text;
  }
  return parameters;
}

/** Returns a form for a request, to begin again with the values of an earlier run. */
export function formOfRequest(request) {
  const query = new URLSearchParams();
  const { from, to, name, rate, rule } = request;
  for (const [key, value] of Object.entries({ from, to, name, rate, ...rule })) {
    if (value !== null && value !== undefined) query.set(key, value);
  }
  return formOf(query);
}

/** Returns a name for a run that has none: the day and the time, in UTC. */
export function nameFor(now = new Date()) {
  const [day, time] = now.toISOString().split('T');
  return `replay-${day}-${time.slice(0, 8).replaceAll(':', '')}`;
}

function startOf(form, now) {
  if (form.start === 'time') return instantOf(form.startTime);
  const hours = STARTS.find(({ value }) => value === form.start)?.hours;
  return hours ? new Date(now - hours * 3_600_000).toISOString() : null;
}

function ruleValue(field, text) {
  if (field === 'currency') return text.toUpperCase();
  if (field === 'valid_days') return Number(text);
  return TIME_FIELDS.has(field) ? instantOf(text) : text;
}

/** A time in the reader's zone, or RFC 3339, as RFC 3339 in UTC; null when it is none. */
function instantOf(text) {
  if (typeof text !== 'string' || !/^\d{4}-\d\d-\d\dT/.test(text)) return null;
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? null : date.toISOString().replace('.000Z', 'Z');
}

/** The value of an input of the type datetime-local for an instant; empty when it is none. */
function localTime(instant) {
  const date = new Date(instant ?? '');
  if (instant === '' || Number.isNaN(date.getTime())) return '';
  const two = (value) => String(value).padStart(2, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day}T${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}
