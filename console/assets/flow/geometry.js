// Where the lines of the drawing run. Pure: rectangles in, paths out.
//
// The cards are placed by the style sheet (one row, two rows or a list, by the width of the drawing); a
// line is drawn between where they came to stand.

const ARROW = 7;
// The rail of the list layout, from the cards' left edge.
const RAIL = 22;
const CORNER = 10;

/**
 * Returns the path of a line and of its arrowhead.
 *
 * @param {{left, top, right, bottom}} from
 * @param {{left, top, right, bottom}} to
 * @param {{stacked: boolean, branch: boolean}} layout `stacked`: the cards are a list
 * @returns {{line: string, arrow: string}}
 */
export function route(from, to, { stacked, branch }) {
  if (stacked) return branch ? inset(from, to) : rail(from, to);
  if (overlaps(from.top, from.bottom, to.top, to.bottom)) return beside(from, to);
  if (overlaps(from.left, from.right, to.left, to.right)) return below(from, to);
  return wrapped(from, to);
}

/** From the right edge of one card to the left edge of the next. */
function beside(from, to) {
  const y = round((from.top + from.bottom) / 2);
  const [start, end] = [round(from.right), round(to.left)];
  return { line: `M${start} ${y}H${end - ARROW + 1}`, arrow: arrowRight(end, y) };
}

/** Straight down. */
function below(from, to) {
  const x = round((Math.max(from.left, to.left) + Math.min(from.right, to.right)) / 2);
  const [start, end] = [round(from.bottom), round(to.top)];
  return { line: `M${x} ${start}V${end - ARROW + 1}`, arrow: arrowDown(x, end) };
}

/** To the first card of the next row: down into the space between the rows, back to the left, and down. */
function wrapped(from, to) {
  // Left of the middle, where the line to the dead letters leaves.
  const start = round(from.left + (from.right - from.left) / 4);
  const x = round((to.left + to.right) / 2);
  const [top, bottom] = [round(from.bottom), round(to.top)];
  const y = round(top + (bottom - top) / 3);
  const corner = Math.min(CORNER, y - top, Math.abs(start - x) / 2);
  return {
    line:
      `M${start} ${top}V${y - corner}Q${start} ${y} ${start - corner} ${y}` +
      `H${x + corner}Q${x} ${y} ${x} ${y + corner}V${bottom - ARROW + 1}`,
    arrow: arrowDown(x, bottom),
  };
}

/** In the list: down the rail to the next card. */
function rail(from, to) {
  const x = round(from.left + RAIL);
  return { line: `M${x} ${round(from.bottom)}V${round(to.top) - ARROW + 1}`, arrow: arrowDown(x, round(to.top)) };
}

/** In the list: beside the rail, down to the card of the dead letters. */
function inset(from, to) {
  const x = round(to.left + RAIL);
  return { line: `M${x} ${round(from.bottom)}V${round(to.top) - ARROW + 1}`, arrow: arrowDown(x, round(to.top)) };
}

function arrowRight(x, y) {
  return `M${x} ${y}l${-ARROW} ${-ARROW * 0.7}v${ARROW * 1.4}Z`;
}

function arrowDown(x, y) {
  return `M${x} ${y}l${-ARROW * 0.7} ${-ARROW}h${ARROW * 1.4}Z`;
}

function overlaps(start, end, otherStart, otherEnd) {
  return Math.min(end, otherEnd) - Math.max(start, otherStart) > 1;
}

// Halves of pixels are sharp enough, and the same layout gives the same text.
function round(value) {
  return Math.round(value * 2) / 2;
}
