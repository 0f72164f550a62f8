// What the reasons of dead letters and skips mean, in sentences: pure. docs/dead-letters.md has the same.

const WRITER = 'Correct the writer.';
const FRAMINGS = 'See which framings are read in docs/framings.md.';

// reason -> [what the record is like, what to do]
const DEAD_LETTERS = {
  empty_value: ['The value has no bytes. A null value would be a tombstone.', WRITER],
  invalid_framing: ['The id of the schema is cut off, or a header names it in an unknown form.', FRAMINGS],
  invalid_json: ['The value is no JSON.', `${WRITER} ${FRAMINGS}`],
  invalid_avro: ["The value does not follow its writer's schema.", `${WRITER} ${FRAMINGS}`],
  trailing_bytes: ['The value continues after the end of the record.', WRITER],
  not_an_object: ['The value is no JSON object and no Avro record.', WRITER],
  wrapped_record: [
    'The order is inside of another record, such as a change event.',
    `Change the connector's setting. ${FRAMINGS}`,
  ],
  repeated_field: ['The value has a field twice.', WRITER],
  unknown_schema: ['The registry does not know the id of the schema.', 'Register the schema, then redrive.'],
  unsupported_schema: ['The schema can’t be read.', `Change the writer's serializer. ${FRAMINGS}`],
  registry_not_configured: [
    'The value names a schema, and no registry is set.',
    'Set SCHEMA_REGISTRY_URL, then redrive.',
  ],
  invalid_order_id: ['The record has no usable order id.', WRITER],
  conflicting_order_ids: ['The record has two different order ids.', WRITER],
  missing_key: ['The record has no key.', WRITER],
  key_mismatch: ['The key says another id than the value.', WRITER],
  invalid_status: ['The record has no status.', WRITER],
  unknown_status: ['The status is not one that is known.', WRITER],
  invalid_total: ['The total is no decimal number.', WRITER],
  total_out_of_range: ['The total is negative, or 10^15 or more.', WRITER],
  total_too_precise: ['The total has more than 28 digits.', WRITER],
  invalid_currency: ['The currency is not three letters.', WRITER],
  invalid_version: ['The version is no integer of 64 bits.', WRITER],
  invalid_timestamp: ['A time can’t be read.', WRITER],
  timestamp_out_of_range: ['A time is before 2000 or after 2099.', WRITER],
  missing_timestamp: [
    'The order was sent, and does not say when; the campaign has dates.',
    'Have the writer say sent_at.',
  ],
  invalid_campaign: ['The voucher has no usable campaign.', 'Correct the writer of the voucher.'],
  invalid_code: ['The voucher has no usable code.', 'Correct the writer of the voucher.'],
  invalid_amount: ['The voucher has no usable amount.', 'Correct the writer of the voucher.'],
  code_taken: ['Another voucher has the code.', 'Decide which of the two is valid, and discard the other.'],
  rejected_by_database: ['The table refuses the row.', 'Correct the table, then redrive.'],
  processing_failed: [
    'Processing failed again and again for a reason that was not foreseen.',
    'Report it, with the dead letter.',
  ],
  row_differs: [
    'The table has another voucher of the order, and keeps it.',
    'Decide which of the two the customer may use, and discard the dead letter.',
  ],
  original_removed: [
    'The original was too large for the dead letter, and compaction or retention has removed it.',
    'Discard the dead letter, or have its writer send the order again.',
  ],
  original_replaced: [
    'The original was too large for the dead letter, and its topic was created anew.',
    'Discard the dead letter, or have its writer send the order again.',
  ],
};

const SKIPS = {
  status: 'not sent',
  threshold: 'total below the threshold',
  currency: 'another currency',
  campaign_dates: "outside the campaign's dates",
  tombstone: 'deleted order (tombstone)',
};

/** Returns what records with this reason are like, or null for a reason of a newer version. */
export function reasonSentence(reason) {
  return known(DEAD_LETTERS, reason)?.[0] ?? null;
}

/** Returns what to do about dead letters of this reason, or null. */
export function reasonAdvice(reason) {
  return known(DEAD_LETTERS, reason)?.[1] ?? null;
}

/** Returns why a well-formed record earns no voucher, in a few words. */
export function skipWords(reason) {
  return known(SKIPS, reason) ?? reason;
}

// A reason comes from a record: "constructor" must not find a property that every object inherits.
function known(table, name) {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}
