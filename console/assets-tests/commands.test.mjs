import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';

import {
  commandOf,
  explainCommand,
  line,
  listCommand,
  revealCommand,
  showCommand,
} from '../assets/commands.js';

// The same requests and lines as in the tests of src/runs/request.rs.
test('a request is the line that the console runs', () => {
  const reason = { kind: 'redrive', service: 'processor', dry_run: true, reason: 'invalid_total', ids: null };
  assert.equal(commandOf(reason, 'ann'), 'processor redrive --reason invalid_total --dry-run');
  const ids = {
    kind: 'redrive',
    service: 'sink',
    ids: ['vouchers/3/7', '3/8'],
    why: "it's mended",
    confirm: 2,
  };
  assert.equal(
    commandOf(ids, 'ann'),
    "sink redrive --letter vouchers/3/7 --letter 3/8 --expect 2 --by ann --why 'it'\\''s mended'",
  );
  const selection = '1f8b5a09c3d7e642';
  const all = { kind: 'redrive', service: 'processor', reason: 'invalid_total', why: 'w', confirm: 2, selection };
  assert.equal(
    commandOf(all, 'ann'),
    'processor redrive --reason invalid_total --expect 2@1f8b5a09c3d7e642 --by ann --why w',
  );
  const discard = { kind: 'discard', service: 'processor', ids: ['3/7'], why: 'test' };
  assert.equal(
    commandOf(discard, 'ann'),
    'processor dead-letters discard --letter 3/7 --note test --by ann --why test',
  );
  const run = { kind: 'backfill', name: 'may', from: '-7d', rate: '500', why: '-v' };
  assert.equal(
    commandOf(run, 'ann'),
    'processor backfill --name may --from=-7d --rate 500 --by ann --why=-v',
  );
  const whatIf = { kind: 'backfill', dry_run: true, rule: { min_total: '80.00', valid_days: 30 } };
  assert.equal(
    commandOf(whatIf),
    'processor backfill --voucher-min-total 80.00 --voucher-valid-days 30 --dry-run',
  );
});

test('queries have their commands too', () => {
  assert.equal(explainCommand('17'), 'processor explain 17');
  assert.equal(explainCommand('--help'), 'processor explain -- --help');
  assert.equal(
    revealCommand('17', 'ann', 'lost mail'),
    "processor explain --reveal --by ann --why 'lost mail' 17",
  );
  assert.equal(explainCommand('17', { scan: true }), 'processor explain --scan 17');
  // The same line as in the tests of src/runs/query.rs.
  assert.equal(
    revealCommand('17', 'ann', 'lost mail', { allPartitions: true }),
    "processor explain --all-partitions --reveal --by ann --why 'lost mail' 17",
  );
  assert.equal(listCommand('sink'), 'sink dead-letters');
  assert.equal(
    listCommand('processor', { reason: 'invalid_total', all: true, limit: 500 }),
    'processor dead-letters --reason invalid_total --all --limit 500',
  );
  assert.equal(
    showCommand('sink', 'vouchers/3/7', { reveal: true }),
    'sink dead-letters show --reveal vouchers/3/7',
  );
});

test('a shell reads the line as the same words', () => {
  const hostile = [
    '',
    'two words',
    "it's",
    '$(touch /tmp/x)',
    '`id`',
    'a;b|c&d>e<f',
    '"x"',
    'b\\s',
    '*?[a]{b}~!#',
    '=ls',
    'größe €',
  ];
  for (const word of hostile) {
    const output = execFileSync('/bin/sh', ['-c', `printf '%s\\n' ${line(['explain', word])}`]);
    assert.equal(output.toString(), `explain\n${word}\n`);
  }
});
