// Values as texts. Everything here is pure: a value in, a text out.
//
// The interface is English, so numbers are written as in English. Times are in the reader's zone;
// `utc` is what stands in a title beside them.

/** Stands for a value that is not known, or not applicable. */
export const NONE = '–';

/** 1234 -> "1,234" */
export function number(value) {
  return isNumber(value) ? integer(value) : NONE;
}

/** 1234 -> "1,234", 12345 -> "12.3k", 1234567 -> "1.2M": at most six characters. */
export function compact(value) {
  if (!isNumber(value)) return NONE;
  const size = Math.abs(value);
  if (size < 9_999.5) return integer(value);
  for (const [unit, name] of [
    [1e3, 'k'],
    [1e6, 'M'],
    [1e9, 'G'],
  ]) {
    const scaled = size / unit;
    // 999.95k would be written as 1,000k.
    if (scaled < 999.5) return `${significant(value / unit)}${name}`;
  }
  return `${integer(value / 1e12)}T`;
}

/** 3.42 -> "3.4/s", 1234 -> "1,234/s" */
export function rate(value) {
  if (!isNumber(value)) return NONE;
  if (value === 0) return '0/s';
  if (value < 0.1) return '<0.1/s';
  if (value < 9.95) return `${oneDigit(value)}/s`;
  return `${compact(value)}/s`;
}

/** 0.512 -> "51 %" */
export function percent(ratio) {
  if (!isNumber(ratio)) return NONE;
  const value = ratio * 100;
  // 0 % and 100 % must be exact, so values close to them are not rounded to them.
  if (value > 0 && value < 1) return '<1 %';
  if (value < 100 && value > 99) return '>99 %';
  return `${integer(value)} %`;
}

/** 12.3 -> "12 ms", 4700 -> "4.7 s", 200000 -> "3 min 20 s", 273600000 -> "3 d 4 h" */
export function millis(value) {
  if (!isNumber(value)) return NONE;
  if (value < 0) return `−${millis(-value)}`;
  if (value === 0) return '0 ms';
  if (value < 1) return '<1 ms';
  if (value < 999.5) return `${Math.round(value)} ms`;
  const seconds = value / 1000;
  if (seconds < 9.95) return `${oneDigit(seconds)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return two(Math.floor(whole / 60), 'min', whole % 60, 's');
  const minutes = Math.round(seconds / 60);
  if (minutes < 1440) return two(Math.floor(minutes / 60), 'h', minutes % 60, 'min');
  const hours = Math.round(seconds / 3600);
  return two(Math.floor(hours / 24), 'd', hours % 24, 'h');
}

/** As `millis`, with one unit: 200000 -> "3 min". */
export function millisShort(value) {
  return isNumber(value) && value >= 9_950 ? coarse(value) : millis(value);
}

/** As `millis`, of seconds. */
export function seconds(value) {
  return isNumber(value) ? millis(value * 1000) : NONE;
}

/** 1536 -> "1.5 KiB" */
export function bytes(value) {
  if (!isNumber(value)) return NONE;
  if (value < 1024) return plural(value, 'byte', 'bytes');
  let scaled = value / 1024;
  for (const unit of ['KiB', 'MiB', 'GiB']) {
    if (scaled < 1023.5) return `${significant(scaled)} ${unit}`;
    scaled /= 1024;
  }
  return `${significant(scaled)} TiB`;
}

/**
 * ("1234.50", "EUR") -> "1,234.50 EUR". The amount is a decimal in a text,
 * and stays one: money never passes through a binary float. The few amounts that arrive as JSON numbers are
 * taken as written.
 */
export function money(amount, currency) {
  if (amount === null || amount === undefined || amount === '') return NONE;
  const text = String(amount);
  const match = /^([-+]?)(\d+)(?:\.(\d+))?$/.exec(text);
  const grouped = match ? groupDigits(match) : text;
  return currency ? `${grouped} ${currency}` : grouped;
}

/**
 * "total 4550.00 EUR is below 5000.00" -> "total 4,550.00 EUR is below 5,000.00": amounts in a text of a
 * command, which has no other numbers with two decimals.
 */
export function amounts(text) {
  return typeof text === 'string' ? text.replace(/\d{4,}(?=\.\d{2})/g, thousands) : text;
}

/** (1, "order", "orders") -> "1 order" */
export function plural(count, one, many) {
  if (!isNumber(count)) return `${NONE} ${many}`;
  return `${integer(count)} ${count === 1 ? one : many}`;
}

/** "no record yet" -> "No record yet." The details of problems and hops are written like that. */
export function sentence(text) {
  if (typeof text !== 'string' || text === '') return '';
  // A name in code, such as "order-status/3/41", keeps its small letter.
  const first = /^\p{Ll}+(?=[\s,.;]|$)/u.test(text) ? text[0].toUpperCase() + text.slice(1) : text;
  return /[.!?…:]$/.test(first) ? first : `${first}.`;
}

/** "12 Nov 2025, 14:03:22", in the reader's zone */
export function dateTime(instant, zone) {
  const date = toDate(instant);
  return date ? formatter(zone, 'dateTime').format(date) : NONE;
}

/** "14:03:22", in the reader's zone */
export function clock(instant, zone) {
  const date = toDate(instant);
  return date ? formatter(zone, 'clock').format(date) : NONE;
}

/** "14:03:22.417", in the reader's zone */
export function clockMillis(instant, zone) {
  const date = toDate(instant);
  return date ? formatter(zone, 'clockMillis').format(date) : NONE;
}

/** "2025-11-12 13:03:22.417 UTC" */
export function utc(instant) {
  const date = toDate(instant);
  return date ? `${date.toISOString().replace('T', ' ').replace('Z', '')} UTC` : NONE;
}

/** "3 min 20 s ago"; "in 5 s"; "now" */
export function ago(instant, now = Date.now()) {
  const date = toDate(instant);
  if (!date) return NONE;
  const past = now - date.getTime();
  if (Math.abs(past) < 1000) return 'now';
  return past > 0 ? `${coarse(past)} ago` : `in ${coarse(-past)}`;
}

/** Returns the instant as a Date, or null when it is none. Accepts RFC 3339, milliseconds and Dates. */
export function toDate(instant) {
  if (instant === null || instant === undefined || instant === '') return null;
  const date = instant instanceof Date ? instant : new Date(instant);
  return Number.isNaN(date.getTime()) ? null : date;
}

const integer = rounded(0);
const oneDigit = rounded(1);

// The first formatter of a page takes tens of milliseconds, so none is built before a number is shown.
function rounded(digits) {
  let format = null;
  return (value) => {
    format ??= new Intl.NumberFormat('en', { maximumFractionDigits: digits });
    return format.format(value);
  };
}

function isNumber(value) {
  return typeof value === 'number' && Number.isFinite(value);
}

/** 1.234 -> "1.2", 12.34 -> "12.3", 123.4 -> "123" */
function significant(value) {
  return Math.abs(value) < 99.95 ? oneDigit(value) : integer(value);
}

function two(first, firstUnit, second, secondUnit) {
  return second === 0 ? `${first} ${firstUnit}` : `${first} ${firstUnit} ${second} ${secondUnit}`;
}

/** One unit and no fractions. */
function coarse(value) {
  const whole = Math.floor(value / 1000);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h`;
  return `${Math.floor(whole / 86_400)} d`;
}

function groupDigits([, sign, whole, fraction]) {
  const cents = (fraction ?? '').padEnd(2, '0');
  return `${sign === '-' ? '−' : ''}${thousands(whole)}.${cents}`;
}

function thousands(digits) {
  return digits.replace(/\B(?=(\d{3})+$)/g, ',');
}

const SHAPES = {
  dateTime: {
    day: 'numeric',
    month: 'short',
    year: 'numeric',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hourCycle: 'h23',
  },
  clock: { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' },
  clockMillis: {
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    fractionalSecondDigits: 3,
    hourCycle: 'h23',
  },
};

const formatters = new Map();

// A formatter takes about a hundred times as long to build as to use.
function formatter(zone, shape) {
  const key = `${zone ?? ''} ${shape}`;
  let found = formatters.get(key);
  if (!found) {
    found = new Intl.DateTimeFormat('en-GB', { ...SHAPES[shape], timeZone: zone });
    formatters.set(key, found);
  }
  return found;
}
