// Where a trace is shown: pure.

/**
 * Returns the address of a trace in the viewer of traces, or null without one.
 *
 * @param {string|null|undefined} template CONSOLE_TRACE_URL, with `{trace_id}` in it
 * @param {string} traceId 32 hexadecimal digits; a record may hold anything
 */
export function traceAddress(template, traceId) {
  if (!template || !/^[0-9a-f]{32}$/.test(traceId)) return null;
  return template.replaceAll('{trace_id}', traceId);
}
