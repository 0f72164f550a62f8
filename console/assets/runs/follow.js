// Follows a run. The run is on the server: leaving or closing the page does not affect it.

import { get, isAborted, path } from '../api.js';
import { hasEnded } from '../models/run-words.js';
import { stream } from '../stream.js';

const INTERVAL_MILLIS = 1000;
const MAX_BACKOFF_MILLIS = 10_000;

/**
 * Fetches a run until it has ended: each second while the page is visible, and at once when the stream
 * says that it changed.
 *
 * @param {string} id
 * @param {object} options
 * @param {AbortSignal} options.signal
 * @param {function(object)} options.onRun is called with each RunView; the last one has ended
 * @param {function(Error)} options.onError is called when the run can't be fetched. It is fetched again,
 *   unless the console does not know it.
 */
export async function followRun(id, { signal: left, onRun, onError }) {
  // The listeners for the run are removed when it ends, and not only when the reader leaves the view.
  const ended = new AbortController();
  const signal = AbortSignal.any([left, ended.signal]);
  try {
    await follow(id, { signal, onRun, onError });
  } finally {
    ended.abort();
  }
}

async function follow(id, { signal, onRun, onError }) {
  const bell = new Bell(signal);
  stream.subscribe('run', (run) => run.id === id && bell.ring(), { signal });
  let wait = INTERVAL_MILLIS;
  while (!signal.aborted) {
    try {
      const run = await get(path`/api/runs/${id}`, { signal });
      wait = INTERVAL_MILLIS;
      onRun(run);
      if (hasEnded(run.state)) return;
    } catch (error) {
      if (isAborted(error)) return;
      onError(error);
      if (isFinal(error)) return;
      wait = Math.min(wait * 2, MAX_BACKOFF_MILLIS);
    }
    await bell.wait(wait);
  }
}

/** Returns whether a failure is permanent: a status of 4xx is, every other failure may be temporary. */
function isFinal(error) {
  const status = error.problem?.status ?? 0;
  return status >= 400 && status < 500;
}

/** Waits for some time or until it is woken, and for as long as the page is hidden. */
class Bell {
  #signal;
  #wake = null;
  #rung = false;

  constructor(signal) {
    this.#signal = signal;
    signal.addEventListener('abort', () => this.#wake?.());
    document.addEventListener('visibilitychange', () => document.hidden || this.#wake?.(), { signal });
  }

  ring() {
    this.#rung = true;
    if (!document.hidden) this.#wake?.();
  }

  async wait(milliseconds) {
    if (!this.#rung || document.hidden) await this.#pause(document.hidden ? null : milliseconds);
    // The page may have been hidden in the meantime.
    while (document.hidden && !this.#signal.aborted) await this.#pause(null);
    this.#rung = false;
  }

  #pause(milliseconds) {
    if (this.#signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = milliseconds === null ? 0 : setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
