// The command line of a request, before it is sent: pure. The console builds the process's words in
// src/runs/request.rs; what is shown here beside a button is the same line.

const PLAIN = /^[A-Za-z0-9._\-/:,@+][A-Za-z0-9._\-/:,@+=]*$/;

/**
 * Returns the command that a body of `POST /api/runs` asks for.
 *
 * @param {object} request as in src/runs/request.rs
 * @param {string} [by] who asks; a preview names nobody
 */
export function commandOf(request, by) {
  const words = request.kind === 'backfill' ? backfill(request) : deadLetters(request);
  if (request.dry_run) {
    words.push('--dry-run');
  } else {
    if (by) words.push(...flag('--by', by));
    words.push(...flag('--why', request.why));
  }
  return line(words);
}

/** Returns the command that explains an order. `scan` and `allPartitions` search further. */
export function explainCommand(orderId, options = {}) {
  return line(['processor', 'explain', ...reachFlags(options), ...subject(orderId)]);
}

/** Returns the command that explains an order, searched as far, and shows its codes. */
export function revealCommand(orderId, by, why, options = {}) {
  return line([
    'processor',
    'explain',
    ...reachFlags(options),
    '--reveal',
    ...flag('--by', by),
    ...flag('--why', why),
    ...subject(orderId),
  ]);
}

/** Returns the command that lists a service's dead letters. */
export function listCommand(service, { reason, all, limit } = {}) {
  const words = [service, 'dead-letters', ...flag('--reason', reason)];
  if (all) words.push('--all');
  return line([...words, ...flag('--limit', limit)]);
}

/** Returns the command that shows one dead letter. */
export function showCommand(service, id, { reveal = false } = {}) {
  const words = [service, 'dead-letters', 'show'];
  if (reveal) words.push('--reveal');
  return line([...words, ...subject(id)]);
}

/** Returns the words of a command as a POSIX shell reads them back. */
export function line(words) {
  return words.map(quoted).join(' ');
}

function reachFlags({ scan = false, allPartitions = false }) {
  if (allPartitions) return ['--all-partitions'];
  return scan ? ['--scan'] : [];
}

function deadLetters({ kind, service, ids, reason, why, confirm, selection, dry_run: dryRun }) {
  const words = kind === 'discard' ? [service, 'dead-letters', 'discard'] : [service, kind];
  for (const id of ids ?? []) words.push(...flag('--letter', id));
  words.push(...flag('--reason', reason));
  if (kind === 'discard') words.push(...flag('--note', why));
  else if (!dryRun) words.push(...flag('--expect', selection ? `${confirm}@${selection}` : confirm));
  return words;
}

// The name of a rule's field -> the flag.
const RULE_FLAGS = {
  min_total: '--voucher-min-total',
  amount: '--voucher-amount',
  currency: '--voucher-currency',
  valid_days: '--voucher-valid-days',
  sent_from: '--voucher-sent-from',
  sent_until: '--voucher-sent-until',
};

function backfill({ name, from, to, rate, rule }) {
  const words = ['processor', 'backfill'];
  words.push(...flag('--name', name), ...flag('--from', from), ...flag('--to', to), ...flag('--rate', rate));
  for (const [field, text] of Object.entries(RULE_FLAGS)) words.push(...flag(text, rule?.[field]));
  return words;
}

// A value that begins with a dash is written into the flag's own word, so that it is not read as a flag.
function flag(name, value) {
  if (value === null || value === undefined || value === '') return [];
  const text = String(value);
  return text.startsWith('-') ? [`${name}=${text}`] : [name, text];
}

function subject(text) {
  return text.startsWith('-') ? ['--', text] : [text];
}

function quoted(word) {
  return PLAIN.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
