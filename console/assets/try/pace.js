// When an order that is followed is asked for again. Each question is a command that reads topics, and the
// console answers few at a time. Pure.

const FIRST_MILLIS = 1000;
const MAX_MILLIS = 30_000;
// An order arrives in well under a second. One that has not moved for so many answers is held up.
const QUICK_ANSWERS = 10;
const HELD_UP_MILLIS = 5000;

/**
 * Returns how long to wait before the next question.
 *
 * @param {number} quiet how many answers in a row, before the last one, brought nothing new
 * @param {boolean} isKnown whether the last answer knew the order; a failure knows nothing
 */
export function pauseMillis(quiet, isKnown) {
  if (isKnown) return quiet < QUICK_ANSWERS ? FIRST_MILLIS : HELD_UP_MILLIS;
  return Math.min(FIRST_MILLIS * 2 ** quiet, MAX_MILLIS);
}

// 408, 425 and 429 ask to come again later.
const LATER = new Set([408, 425, 429]);

/** Returns whether the same question will always be refused with this status. */
export function isPermanent(status) {
  return status >= 400 && status < 500 && !LATER.has(status);
}
