// The console's HTTP interface. Every failure is a `RequestError` with a `problem`, whatever went wrong,
// so that a view needs one way to show failures.

/**
 * A request that failed. `problem` is the answer's `application/problem+json`
 * (`{type, title, status, detail}`), or one of the same shape when there was no such answer.
 */
export class RequestError extends Error {
  constructor(problem) {
    super(problem.detail ?? problem.title);
    this.name = 'RequestError';
    this.problem = problem;
  }
}

let signIn = () => {};

/** Sets what happens when the session has ended: the router goes to the login page and back. */
export function onUnauthorized(handler) {
  signIn = handler;
}

/** Fetches JSON. `signal` aborts. */
export function get(path, { signal } = {}) {
  return send('GET', path, { signal });
}

/**
 * Posts JSON and returns the answer's JSON, or null without a body.
 *
 * `idempotencyKey`: one for each intention of the reader (`newIdempotencyKey()`), kept when the same
 * intention is sent again, so that a repeated request starts nothing twice.
 */
export function post(path, body, { signal, idempotencyKey, onUnauthorized: handler } = {}) {
  return send('POST', path, { body, signal, idempotencyKey, handler });
}

/** Sends a DELETE. */
export function remove(path, { signal } = {}) {
  return send('DELETE', path, { body: {}, signal });
}

/** Loads the module of a view. A module that could not be fetched fails as a request does. */
export async function loadModule(load) {
  try {
    return await load();
  } catch (error) {
    // The error of an import does not show whether the console is unreachable or the module is defective.
    await fetch('/livez', { cache: 'no-store' }).catch(() => {
      throw notReached();
    });
    throw error;
  }
}

function notReached() {
  return new RequestError({
    title: 'The console does not answer',
    detail:
      'The request did not reach the console. It may have stopped, or the network is down. ' +
      'Check that "console run" is running, then try again.',
    status: 0,
  });
}

/** Returns a new key for `Idempotency-Key`. */
export function newIdempotencyKey() {
  // crypto.randomUUID exists only in secure contexts, which a console on a plain HTTP address is not.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Returns a path with its parts encoded: path`/api/orders/${id}/path`. */
export function path(strings, ...values) {
  return strings.reduce(
    (text, part, at) => text + part + (at < values.length ? encodeURIComponent(values[at]) : ''),
    '',
  );
}

/** Returns a query string for the parameters that are neither null nor empty, with its `?`. */
export function query(parameters) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== null && value !== undefined && value !== '') search.set(name, value);
  }
  const text = search.toString();
  return text === '' ? '' : `?${text}`;
}

/** Returns the problem of any error, for the component that shows problems. */
export function problemOf(error) {
  if (error instanceof RequestError) return error.problem;
  return {
    title: 'The page failed',
    detail: `${error?.message ?? error}. Reload the page; if this happens again, it is a defect of the console.`,
    status: 0,
  };
}

/** Returns whether an error only means that the reader has left the view. */
export function isAborted(error) {
  return error?.name === 'AbortError';
}

async function send(method, address, { body, signal, idempotencyKey, handler }) {
  const headers = { Accept: 'application/json' };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (idempotencyKey) headers['Idempotency-Key'] = idempotencyKey;
  let response;
  try {
    response = await fetch(address, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      credentials: 'same-origin',
      redirect: 'error',
    });
  } catch (error) {
    if (isAborted(error)) throw error;
    throw notReached();
  }
  if (response.status === 401 && handler !== null) signIn();
  if (!response.ok) throw new RequestError(await problem(response));
  return json(response);
}

async function json(response) {
  const text = await response.text();
  if (text === '') return null;
  try {
    return JSON.parse(text);
  } catch {
    throw new RequestError({
      title: 'The answer is not JSON',
      detail:
        'The console, or something between it and this browser, answered with something else than ' +
        'JSON. Reload the page; a proxy in between must pass /api through unchanged.',
      status: response.status,
    });
  }
}

async function problem(response) {
  const fallback = {
    title: response.statusText || `HTTP ${response.status}`,
    detail: `The console answered with status ${response.status}.`,
    status: response.status,
  };
  try {
    const answer = await response.json();
    return { ...fallback, ...answer };
  } catch (error) {
    if (isAborted(error)) throw error;
    return fallback;
  }
}
