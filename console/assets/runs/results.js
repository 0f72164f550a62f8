// The result of a run of any kind.

import { path } from '../api.js';
import { redriveFigures } from '../dead-letters/redrive-figures.js';
import { h } from '../dom.js';
import { plural } from '../format.js';
import { backfillFigures } from '../replay/figures.js';

/** Shows the result of a run; nothing when it has none. */
export function resultOf(run) {
  const { result } = run;
  if (!result) return null;
  if (run.kind === 'redrive') return redriveFigures(result, run.service);
  if (run.kind === 'backfill') return backfillFigures(result);
  if (run.kind === 'discard') return discarded(result, run.service);
  return null;
}

function discarded({ discarded: letters = [] }, service) {
  return h(
    'div',
    { class: 'section' },
    h('p', null, `${plural(letters.length, 'dead letter is', 'dead letters are')} closed for good:`),
    h(
      'ul',
      { class: 'letters' },
      letters.map((letter) =>
        h('li', null, h('a', { class: 'mono', href: path`/dead-letters/${service}/${letter}` }, letter)),
      ),
    ),
  );
}
