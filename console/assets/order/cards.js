// What was found about an order, in tables.

import { dataTable } from '../components/data-table.js';
import { facts } from '../components/facts.js';
import { stateBadge } from '../components/state-badge.js';
import { timeElement } from '../components/time.js';
import { traceLink } from '../components/trace-link.js';
import { h } from '../dom.js';
import { amounts, NONE, number, plural } from '../format.js';
import { deadLetterAddress, decisionOf, inOrderOfTime, isStatusSearched } from '../models/order-story.js';
import { outcomeText } from '../models/redriven.js';

// verdict -> [state of the badge, word]
const VERDICTS = {
  eligible: ['ready', 'Eligible'],
  skipped: ['none', 'Skipped'],
  dead: ['failed', 'Unusable'],
};

const ROLES = {
  voucher: 'The voucher',
  echo: 'Echo',
  unreadable: 'Unreadable',
};

/** Lists every record of the order with its decision. */
export function recordsCard(found) {
  const records = inOrderOfTime(found.records);
  return h(
    'section',
    { class: 'card' },
    h('h2', null, `Records in ${found.topic}`),
    dataTable({
      caption: `Records of the order in ${found.topic}, in order`,
      rows: records,
      empty: h(
        'p',
        { class: 'muted' },
        isStatusSearched(found)
          ? 'No record is left. Compaction keeps only the newest record of a key, and retention removes old records.'
          : 'None was found in what was searched.',
      ),
      columns: [
        { label: 'Record', header: true, cell: (record) => place(found.topic, record) },
        { label: 'Written', cell: ({ written }) => timeElement(written, 'dateTime') },
        { label: 'Status', cell: ({ fields }) => fields.status ?? NONE },
        { label: 'Total', numeric: true, cell: ({ fields }) => amounts(fields.total) ?? NONE },
        { label: 'Decision', cell: decision },
        { label: 'More', cell: more },
      ],
    }),
  );
}

function decision(record) {
  const { verdict, reason } = record;
  const [state, word] = VERDICTS[verdict] ?? ['unknown', verdict];
  return h(
    'div',
    { class: 'decision' },
    stateBadge(state, reason ? `${word}: ${reason}` : word),
    h('span', null, decisionOf(record)),
  );
}

function more({ fields, key_form: keyForm, trace_id: traceId }) {
  const { order_id: id, status, total, ...others } = fields;
  const text = (value) => h('span', { class: 'mono' }, value);
  const pairs = Object.entries(others).map(([name, value]) => [name, text(value)]);
  if (keyForm !== 'plain') pairs.push(['key', text(keyForm)]);
  if (traceId) pairs.push(['trace', traceLink(traceId)]);
  if (pairs.length === 0) return h('span', { class: 'muted' }, NONE);
  return h(
    'details',
    { class: 'details' },
    h('summary', null, pairs.map(([name]) => name).join(', ')),
    facts(pairs),
  );
}

/** Shows the voucher records: the first of a campaign is the voucher. The echoes are folded. */
export function vouchersCard(found) {
  const echoes = found.vouchers.filter(({ role }) => role === 'echo');
  const others = found.vouchers.filter(({ role }) => role !== 'echo');
  return h(
    'section',
    { class: 'card' },
    h('h2', null, 'Voucher records'),
    found.vouchers.length === 0 ? h('p', { class: 'muted' }, 'No voucher record was found.') : null,
    others.map(voucher),
    echoes.length === 0
      ? null
      : h(
          'details',
          { class: 'details' },
          h('summary', null, `${plural(echoes.length, 'echo', 'echoes')}, which every consumer ignores`),
          echoes.map(voucher),
        ),
  );
}

function voucher(record) {
  return h('div', { class: 'voucher' }, voucherHead(record), voucherFacts(record));
}

function voucherHead(record) {
  const state = { voucher: 'done', echo: 'none', unreadable: 'failed' }[record.role] ?? 'unknown';
  return h(
    'p',
    null,
    stateBadge(state, ROLES[record.role] ?? record.role),
    ' ',
    h('span', { class: 'mono' }, `partition ${record.partition}, offset ${record.offset}`),
  );
}

function voucherFacts({ voucher, fault, written, source, run, trace_id: traceId }) {
  return facts([
    ['Amount', amounts(voucher?.amount)],
    ['Code', voucher ? code(voucher.code) : null],
    ['Campaign', voucher?.campaign],
    ['Issued', voucher ? timeElement(voucher.issued_at) : null],
    ['Expires', voucher ? expiry(voucher) : null],
    ['Fault', fault],
    ['Written', timeElement(written)],
    ['From the record', source ? h('span', { class: 'mono' }, source) : null],
    ['By the run', run ? h('span', { class: 'mono' }, run) : null],
    ['Trace', traceId ? traceLink(traceId) : null],
  ]);
}

/** Shows the order as the ingress has it; nothing when it was not asked, or does not know the order. */
export function ingressCard({ ingress }) {
  if (!ingress) return null;
  return h(
    'section',
    { class: 'card' },
    h('h2', null, 'At the ingress'),
    facts([
      ['Status', ingress.status],
      ['Version', number(ingress.version)],
      ['Placed', timeElement(ingress.created_at)],
      ['Sent', ingress.sent_at ? timeElement(ingress.sent_at) : null],
      ['Last changed', timeElement(ingress.updated_at)],
    ]),
  );
}

/** Shows the rows of the table; null rows were not asked for. */
export function rowsCard(found) {
  const { rows } = found;
  // The gaps above name the tables that were asked for and did not answer.
  const isAbove = (found.not_looked_at ?? []).some(({ what }) => what === "the vouchers' table");
  return h(
    'section',
    { class: 'card' },
    h('h2', null, 'Rows in Postgres'),
    rows === null || rows === undefined
      ? h(
          'p',
          { class: 'muted' },
          isAbove
            ? 'The table could not be read: see above.'
            : 'The table was not read. Start the console with DATABASE_URL, the sink’s database, to see rows.',
        )
      : dataTable({
          caption: 'Rows of the order in the vouchers table',
          rows,
          empty: h('p', { class: 'muted' }, 'The table has no row of this order.'),
          columns: [
            { label: 'Campaign', header: true, cell: ({ campaign }) => campaign },
            { label: 'Amount', numeric: true, cell: ({ amount }) => amounts(amount) },
            { label: 'Code', cell: (row) => code(row.code) },
            { label: 'Issued', cell: ({ issued_at: at }) => timeElement(at) },
            { label: 'Expires', cell: expiry },
            { label: 'Row written', cell: ({ created_at: at }) => timeElement(at) },
          ],
        }),
  );
}

/** Lists the dead letters of the order, of both services; nothing when there are none. */
export function deadLettersCard(found) {
  if (found.dead_letters.length === 0) return null;
  return h(
    'section',
    { class: 'card' },
    h('h2', null, 'Dead letters'),
    dataTable({
      caption: 'Dead letters of the order',
      rows: found.dead_letters,
      columns: [
        { label: 'Dead letter', header: true, cell: (letter) => deadLetterLink(letter, found.topic) },
        {
          label: 'State',
          cell: ({ open }) => stateBadge(open ? 'warning' : 'done', open ? 'Open' : 'Closed'),
        },
        {
          label: 'What was found',
          cell: ({ reason, message, state }) =>
            h(
              'div',
              null,
              h('code', { class: 'reason' }, reason),
              ` ${message}`,
              state ? h('div', { class: 'muted small' }, outcomeText(state)) : null,
            ),
        },
        { label: 'Attempts', numeric: true, cell: ({ attempts }) => number(attempts) },
        { label: 'Group', cell: ({ group }) => group ?? 'not named' },
      ],
    }),
  );
}

function deadLetterLink(deadLetter, orderStatus) {
  const href = deadLetterAddress(deadLetter, orderStatus);
  if (href) return h('a', { class: 'mono', href }, deadLetter.letter);
  return h(
    'span',
    null,
    h('span', { class: 'mono' }, deadLetter.letter),
    h('span', { class: 'muted small' }, ' of another group, whose dead letters this console does not show'),
  );
}

/** Says what could not be read; nothing when everything was. */
export function gapsCard(gaps) {
  if (!gaps || gaps.length === 0) return null;
  return h(
    'section',
    { class: 'card gaps' },
    h('h2', null, stateBadge('warning', 'Not looked at')),
    h('p', null, 'What is shown here is incomplete. These could not be read:'),
    h(
      'ul',
      null,
      gaps.map(({ what, why }) => h('li', null, `${what}: ${why}`)),
    ),
  );
}

function code(text) {
  const masked = /^\*+$/.test(text);
  return h(
    'span',
    { class: masked ? 'mono muted' : 'mono code', title: masked ? 'Masked' : null },
    text,
    masked ? h('span', { class: 'visually-hidden' }, ' (masked)') : null,
  );
}

function expiry({ expires_at: at }) {
  return at ? timeElement(at) : 'never';
}

function place(topic, { partition, offset }) {
  return h('span', { class: 'mono' }, `${topic}/${partition}/${offset}`);
}
