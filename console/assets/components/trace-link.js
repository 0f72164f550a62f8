// A trace, by its id.

import { h } from '../dom.js';
import { traceAddress } from '../models/traces.js';
import { session } from '../session.js';

/** Shows the id of a trace, as a link where the console knows a viewer of traces. */
export function traceLink(traceId) {
  const href = traceAddress(session()?.trace_url, traceId);
  // The viewer need not learn from which order somebody comes.
  if (href) return h('a', { class: 'mono', href, rel: 'noreferrer' }, traceId);
  return h('span', { class: 'mono' }, traceId);
}
