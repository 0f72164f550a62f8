// The results of `processor backfill --json`, arranged for a page: pure.

import { difference } from './decimals.js';
import { skipWords } from './reasons.js';

/**
 * Returns what became of the records that were read: the eligible ones, then the skipped ones by reason,
 * then those that cannot be used. Kinds without records are left out, except the eligible ones.
 *
 * @returns {Array<{kind: 'eligible'|'skipped'|'unusable', reason: string|null, label: string,
 *   records: number, example: object|null}>}
 */
export function decisionsOf(result) {
  const decisions = [];
  const eligible = result.eligible_records ?? result.voucher_records ?? 0;
  decisions.push({ kind: 'eligible', reason: null, label: 'Eligible', records: eligible, example: null });
  for (const [reason, records] of Object.entries(result.skipped ?? {})) {
    if (records > 0) {
      decisions.push({
        kind: 'skipped',
        reason,
        label: `Skipped: ${skipWords(reason)}`,
        records,
        example: null,
      });
    }
  }
  for (const [reason, count] of Object.entries(result.unusable ?? {})) {
    // A preview gives an example of each reason, a run gives the number alone.
    const records = typeof count === 'number' ? count : count.records;
    decisions.push({
      kind: 'unusable',
      reason,
      label: `Unusable: ${reason}`,
      records,
      example: count.example ?? null,
    });
  }
  return decisions;
}

/** Returns how the vouchers of a preview compare with the table, or null when no database was asked. */
export function rowsOf(existing) {
  if (!existing) return null;
  return [
    { state: 'new', label: 'New: no row yet', vouchers: existing.new },
    { state: 'existing', label: 'Exist already', vouchers: existing.existing },
    { state: 'different', label: 'Exist with another amount or code', vouchers: existing.different },
  ];
}

/**
 * Returns how a what-if compares with today's rule, or null when the preview had no other rule.
 *
 * `both` are the orders that both rules make eligible.
 */
export function whatIfOf(result) {
  const { today } = result;
  if (!today) return null;
  return {
    today: { vouchers: today.vouchers, sum: today.sum },
    tried: { vouchers: result.vouchers, sum: result.sum },
    currency: result.currency,
    both: today.vouchers - today.fewer,
    more: today.more,
    fewer: today.fewer,
    difference: difference(result.sum, today.sum),
  };
}

/** Returns how many offsets of how many partitions a range has. */
export function extentOf(range) {
  const partitions = (range?.partitions ?? []).filter(({ from, to }) => to > from);
  return {
    partitions: partitions.length,
    offsets: partitions.reduce((sum, { from, to }) => sum + (to - from), 0),
  };
}

/**
 * Returns why a previewed backfill cannot be run as it is, or null when it can.
 *
 * @param {object} request the preview's request
 * @param {object} result its result
 */
export function obstacleTo(request, result) {
  if (result.refused) return `The backfill would be refused: ${result.refused}.`;
  if (result.already_done) {
    return 'A backfill of this name, range, rule and keys is done. Another name does it again.';
  }
  if (hasRule(request.rule)) {
    return (
      'This is a what-if: it tries a rule that the services do not have. To issue vouchers by it, change the ' +
      "services' settings first."
    );
  }
  if ([request.from, request.to].some((bound) => bound?.startsWith('-'))) {
    return 'Its range is relative to now. Preview it from a time to run it.';
  }
  if (result.vouchers === 0) return 'No order of this range earns a voucher, so there is nothing to issue.';
  return null;
}

/** Returns whether a request tries another rule. */
export function hasRule(rule) {
  return Object.values(rule ?? {}).some((value) => value !== null && value !== undefined && value !== '');
}
