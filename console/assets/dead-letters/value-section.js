// The value of a dead letter: decoded as far as possible, as text, and as hex.

import { bytesOf, hexDump, indentJson, MAX_DUMPED_BYTES } from '../bytes.js';
import { commandLine } from '../components/command-line.js';
import { facts } from '../components/facts.js';
import { showCommand } from '../commands.js';
import { h } from '../dom.js';
import { bytes as byteCount } from '../format.js';

/**
 * @param {object} letter the JSON of `dead-letters show`
 * @param {{service: string, id: string}} subject
 * @returns {HTMLElement}
 */
export function valueSection(letter, subject) {
  return h(
    'section',
    { class: 'card' },
    h('h2', null, 'Value'),
    decoded(letter),
    omitted(letter),
    content(letter.original.value, subject),
  );
}

function decoded({ format, fields }) {
  const pairs = Object.entries(fields ?? {});
  return h(
    'div',
    { class: 'section' },
    h('p', { class: 'muted small' }, `Read as: ${format}.`),
    pairs.length > 0
      ? facts(pairs.map(([name, value]) => [name, h('span', { class: 'mono' }, value)]))
      : h('p', { class: 'muted' }, 'No field was decoded, because of the fault above.'),
  );
}

function omitted({ omitted: parts }) {
  if (!parts) return null;
  const size = byteCount(parts.value_bytes);
  return h(
    'p',
    null,
    `The original was too large for the dead letter topic: ${[parts.parts].flat().join(', ')} was left out (${size}, SHA-256 `,
    h('span', { class: 'mono' }, parts.value_sha256),
    parts.missing ? `). ${parts.missing}.` : '); it was read from its own topic.',
  );
}

function content(value, { service, id }) {
  if (value === null || value === undefined) return h('p', null, 'The value is null.');
  const bytes = bytesOf(value);
  if (bytes === null) {
    const size = typeof value.bytes === 'number' ? byteCount(value.bytes) : 'Its value';
    return h(
      'div',
      { class: 'section' },
      h(
        'p',
        null,
        `${size}, which may contain a voucher code, and codes are worth money. A shell shows them:`,
      ),
      commandLine(showCommand(service, id, { reveal: true }), { label: 'Show the value' }),
    );
  }
  const dump = hexDump(bytes);
  return h(
    'div',
    { class: 'section' },
    typeof value.text === 'string' ? asText(value.text) : null,
    h(
      'details',
      { class: 'details', open: typeof value.text !== 'string' },
      h('summary', null, `As hex, ${byteCount(bytes.length)}`),
      block(
        'The value in hex',
        dump.map(({ offset, hex, text }) => `${offset}  ${hex.padEnd(48)}  ${text}`).join('\n'),
      ),
      bytes.length > MAX_DUMPED_BYTES
        ? h('p', { class: 'muted small' }, `The first ${byteCount(MAX_DUMPED_BYTES)} are shown.`)
        : null,
    ),
  );
}

function asText(text) {
  const indented = indentJson(text);
  return h(
    'div',
    { class: 'section' },
    block('The value as text', indented ?? text),
    indented !== null && indented !== text
      ? h(
          'details',
          { class: 'details' },
          h('summary', null, 'As it is written, without line breaks'),
          block('The value as it is written', text),
        )
      : null,
  );
}

// It may be wider than the page: it scrolls by itself, so it can be focused.
function block(label, text) {
  return h(
    'pre',
    { class: 'block', tabindex: '0', role: 'group', 'aria-label': label },
    text === '' ? '(empty)' : text,
  );
}
