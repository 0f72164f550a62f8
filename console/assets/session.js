// Who is signed in. The session is fetched once, and again after a login.

import { get } from './api.js';

let current = null;
let controller = null;
const listeners = [];

/**
 * Returns the session (`{name, role, can_place_orders, signed_in, audit_topics, version, campaign,
 * trace_url}`), or null. `signed_in` is false for everybody where the console needs no keys;
 * `audit_topics` has one for the `processor` and one for the `sink`, or null.
 */
export function session() {
  return current;
}

/** Fetches the session. Fails with a 401 when there is none. */
export async function loadSession(options) {
  current = await get('/api/session', options);
  if (!controller) {
    controller = new AbortController();
    for (const listener of listeners) listener(controller.signal);
  }
  return current;
}

/** Forgets the session, after signing out or a 401. */
export function forgetSession() {
  current = null;
  controller?.abort();
  controller = null;
}

/** Calls `listener` at the start of each session, with a signal that aborts at its end. */
export function onSession(listener) {
  listeners.push(listener);
}

/** Returns whether the reader may change something. */
export function isOperator() {
  return current?.role === 'operator';
}
