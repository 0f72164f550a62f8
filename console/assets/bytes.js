// Shows the bytes of a record: as a hex dump, and JSON with line breaks.

const BYTES_PER_ROW = 16;

/** The maximum number of bytes in a hex dump. More would make the page slow; the rest is only counted. */
export const MAX_DUMPED_BYTES = 16 * 1024;

/**
 * Returns the bytes that a command printed as `{"text": ...}` or `{"hex": ...}`; null for a null
 * value, and for a value that the command did not print.
 */
export function bytesOf(shown) {
  if (typeof shown?.text === 'string') {
    return new TextEncoder().encode(shown.text);
  }
  if (typeof shown?.hex === 'string') {
    const pairs = shown.hex.match(/[0-9a-f]{2}/gi) ?? [];
    return Uint8Array.from(pairs, (pair) => Number.parseInt(pair, 16));
  }
  return null;
}

/**
 * Returns the lines of a hex dump: the offset, the bytes in hex in two groups of eight, and the
 * printable ASCII characters with a dot for every other byte.
 */
export function hexDump(bytes, limit = MAX_DUMPED_BYTES) {
  const lines = [];
  const end = Math.min(bytes.length, limit);
  for (let start = 0; start < end; start += BYTES_PER_ROW) {
    const row = bytes.subarray(start, Math.min(start + BYTES_PER_ROW, end));
    lines.push({
      offset: start.toString(16).padStart(8, '0'),
      hex: hexOfRow(row),
      text: Array.from(row, printableAscii).join(''),
    });
  }
  return lines;
}

function hexOfRow(row) {
  const pairs = Array.from(row, (byte) => byte.toString(16).padStart(2, '0'));
  const groups = [pairs.slice(0, 8), pairs.slice(8)];
  return groups
    .filter((group) => group.length > 0)
    .map((group) => group.join(' '))
    .join('  ');
}

function printableAscii(byte) {
  return byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.';
}

/**
 * Returns JSON with line breaks and indentation, or null when the text is no JSON. Each token is
 * copied as it is written: JSON.parse would round numbers and drop a repeated field, and both are
 * reasons for which a record becomes a dead letter.
 */
export function indentJson(text) {
  try {
    JSON.parse(text);
  } catch {
    return null;
  }
  let indented = '';
  let depth = 0;
  let isEmpty = false;
  for (const token of text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/gs) ?? []) {
    const closes = token === '}' || token === ']';
    if (isEmpty && !closes) {
      indented += lineBreak(depth);
    }
    if (closes) {
      depth -= 1;
      indented += isEmpty ? token : lineBreak(depth) + token;
    } else if (token === ',') {
      indented += token + lineBreak(depth);
    } else if (token === ':') {
      indented += ': ';
    } else {
      indented += token;
    }
    isEmpty = token === '{' || token === '[';
    if (isEmpty) {
      depth += 1;
    }
  }
  return indented;
}

function lineBreak(depth) {
  return `\n${'  '.repeat(depth)}`;
}
