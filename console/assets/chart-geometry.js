// The geometry of small charts. Pure: samples in, paths and figures out.

/** The chart's own coordinates; the style sheet stretches it. */
export const WIDTH = 900;
export const HEIGHT = 100;

/**
 * Returns the smallest, greatest and latest known sample, or null when none is known.
 *
 * @param {Array<number|null>} values
 */
export function extent(values) {
  let result = null;
  for (const value of values) {
    if (value === null) continue;
    if (result === null) result = { min: value, max: value, last: null };
    else {
      if (value < result.min) result.min = value;
      if (value > result.max) result.max = value;
    }
  }
  if (result) result.last = values.at(-1) ?? null;
  return result;
}

/** Returns a round number that is not below `value`: 1, 2, 2.5 or 5 times a power of ten. */
export function niceMax(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  for (const step of [1, 2, 2.5, 5]) {
    if (value <= step * power * (1 + 1e-9)) return step * power;
  }
  return 10 * power;
}

// Above a minute, a round number of seconds is not a round time.
const ROUND_SECONDS = [60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200, 86_400];

/** As `niceMax`, of seconds: 1, 2, 5 and 10 minutes, hours, whole days. */
export function niceSeconds(value) {
  if (!(value > 50)) return niceMax(value);
  return ROUND_SECONDS.find((round) => value <= round) ?? Math.ceil(value / 86_400) * 86_400;
}

/**
 * Returns the paths of a series: the line, and the area below it. A sample that is not known is a gap. The
 * newest sample stands at the right edge, whatever the number of samples; `capacity` samples fill the width.
 *
 * @param {Array<number|null>} values
 * @param {{capacity: number, top: number}} scale `top`: the value at the upper edge
 * @returns {{line: string, area: string}}
 */
export function paths(values, { capacity, top }) {
  let line = '';
  let area = '';
  let run = [];
  const offset = capacity - values.length;
  const end = () => {
    if (run.length === 0) return;
    // A single sample has no length: a short line draws it as a dot.
    if (run.length === 1) run.push([run[0][0] + 0.5, run[0][1]]);
    const points = run.map(([x, y]) => `${x} ${y}`).join('L');
    line += `M${points}`;
    area += `M${run[0][0]} ${HEIGHT}L${points}L${run.at(-1)[0]} ${HEIGHT}Z`;
    run = [];
  };
  for (const [at, value] of values.entries()) {
    if (value === null) end();
    else run.push([x(at + offset, capacity), y(value, top)]);
  }
  end();
  return { line, area };
}

/** Returns the index of the sample at a place between 0 (left edge) and 1, or null outside of the samples. */
export function sampleAt(place, count, capacity) {
  const at = Math.round(place * (capacity - 1)) - (capacity - count);
  return at >= 0 && at < count ? at : null;
}

function x(at, capacity) {
  return Math.round((at / (capacity - 1)) * WIDTH * 10) / 10;
}

// The line's own width must not be cut off at the edges.
function y(value, top) {
  const inner = HEIGHT - 4;
  return Math.round((HEIGHT - 2 - Math.min(value / top, 1) * inner) * 10) / 10;
}
