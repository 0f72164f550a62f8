import assert from 'node:assert/strict';
import { test } from 'node:test';

import { bytesOf, hexDump, indentJson } from '../assets/bytes.js';

test('bytes are those of the text or of the hex digits', () => {
  assert.deepEqual([...bytesOf({ text: 'é{' })], [0xc3, 0xa9, 0x7b]);
  assert.deepEqual([...bytesOf({ hex: '00ff7b' })], [0, 255, 0x7b]);
  assert.equal(bytesOf(null), null);
  assert.equal(bytesOf({ bytes: 17 }), null);
});

test('a dump has sixteen bytes a line and shows printable ASCII', () => {
  const bytes = bytesOf({ text: '{"order_id":"17"}' });
  assert.deepEqual(hexDump(bytes), [
    {
      offset: '00000000',
      hex: '7b 22 6f 72 64 65 72 5f  69 64 22 3a 22 31 37 22',
      text: '{"order_id":"17"',
    },
    { offset: '00000010', hex: '7d', text: '}' },
  ]);
  assert.equal(hexDump(bytesOf({ hex: '0041ff' }))[0].text, '.A.');
});

test('a dump is bounded', () => {
  assert.equal(hexDump(new Uint8Array(100), 32).length, 2);
});

test('indented JSON keeps every token as it is written', () => {
  assert.equal(
    indentJson('{"total":100.000000000000000000000000001,"total":1e2,"a":[],"b":{"c":[1,"x,\\"}"]}}'),
    [
      '{',
      '  "total": 100.000000000000000000000000001,',
      '  "total": 1e2,',
      '  "a": [],',
      '  "b": {',
      '    "c": [',
      '      1,',
      '      "x,\\"}"',
      '    ]',
      '  }',
      '}',
    ].join('\n'),
  );
  assert.equal(indentJson('17'), '17');
});

test('text that is no JSON is not indented', () => {
  assert.equal(indentJson('{'), null);
  assert.equal(indentJson('{"a":1}x'), null);
});
