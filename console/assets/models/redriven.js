// The results of `redrive --json` and of one evaluation, arranged for a page: pure.

import { amounts } from '../format.js';
import { skipWords } from './reasons.js';

const OUTCOMES = {
  voucher: { label: 'A voucher is issued', tone: 'ok', closes: true },
  row: { label: 'The row is written, or exists', tone: 'ok', closes: true },
  skipped: { label: 'Closed without a voucher', tone: 'muted', closes: true },
  failed: { label: 'Still unusable', tone: 'bad', closes: false },
  discarded: { label: 'Discarded', tone: 'muted', closes: true },
};

/**
 * Returns the outcomes with their numbers, those that close dead letters first.
 *
 * @returns {Array<{outcome: string, reason: string|null, label: string, tone: string, closes: boolean,
 *   letters: number}>}
 */
export function outcomesOf(result) {
  const outcomes = Object.entries(result?.outcomes ?? {}).map(([name, letters]) => {
    const [outcome, reason = null] = name.split(': ');
    return { ...describe(outcome, reason), outcome, reason, letters };
  });
  return outcomes.sort((a, b) => Number(b.closes) - Number(a.closes) || b.letters - a.letters);
}

/** Returns the number of dead letters that a redrive or its preview evaluated. */
export function selectedBy(result) {
  return (result?.closed ?? 0) + (result?.still_open ?? 0);
}

/** Returns the number of vouchers that a redrive of the processor issues, or of rows of the sink. */
export function vouchersOf(result) {
  return (result?.outcomes?.voucher ?? 0) + (result?.outcomes?.row ?? 0);
}

/**
 * Returns the sums of the vouchers, one for each currency: `[{currency, sum}]`. Empty when the command
 * names none.
 */
export function sumsOf(result) {
  return Object.entries(result?.sums ?? {}).map(([currency, sum]) => ({ currency, sum }));
}

/**
 * Returns the outcome of a dead letter, from its state, in one line; null before the first redrive. `fault` is
 * the message that stands beside it already, and is not written twice.
 */
export function outcomeText(state, fault = null) {
  if (!state) return null;
  switch (state.outcome) {
    case 'voucher':
      return `A voucher of ${state.campaign} was issued.`;
    case 'row':
      return state.existed ? 'The row existed already.' : 'The row was written.';
    case 'skipped':
      return `Closed without a voucher, ${skipWords(state.reason)}: ${amounts(state.message)}`;
    case 'failed':
      return `Tried again in vain, ${state.reason}${state.message === fault ? ', for the same fault.' : `: ${state.message}`}`;
    case 'discarded':
      return `Discarded: ${state.note}`;
    default:
      return state.outcome;
  }
}

/** Returns whether a dead letter with this state is open. */
export function isOpen(state) {
  return !state || state.outcome === 'failed';
}

function describe(outcome, reason) {
  const known = OUTCOMES[outcome] ?? { label: outcome, tone: 'muted', closes: false };
  const words = outcome === 'skipped' ? skipWords(reason) : reason;
  return { ...known, label: reason ? `${known.label}: ${words}` : known.label };
}
