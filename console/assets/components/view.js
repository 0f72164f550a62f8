// The base of all views: a custom element in light DOM that lives as long as its address is shown.

/**
 * A view. The router sets `params` (parts of the path, decoded), `query` (URLSearchParams) and `session`,
 * then connects the element, which calls `build`. When the reader leaves, `signal` aborts: everything
 * that is given the signal (requests, listeners, subscriptions, `every`) ends with the view.
 *
 * A view has exactly one h1, which the router focuses.
 */
export class View extends HTMLElement {
  params = {};
  query = new URLSearchParams();
  session = null;
  #controller = new AbortController();

  /** Aborts when the view is left. */
  get signal() {
    return this.#controller.signal;
  }

  connectedCallback() {
    if (!this.#controller.signal.aborted) this.build();
  }

  disconnectedCallback() {
    this.#controller.abort();
  }

  /** Builds the view's content, below `this`. */
  build() {
    throw new Error('a view implements build()');
  }

  /** Adds a listener that is removed with the view. */
  listen(target, type, handler) {
    target.addEventListener(type, handler, { signal: this.signal });
  }

  /** Calls `handler` each `milliseconds` while the page is visible, until the view is left. */
  every(milliseconds, handler) {
    const timer = setInterval(() => {
      if (!document.hidden) handler();
    }, milliseconds);
    this.signal.addEventListener('abort', () => clearInterval(timer));
  }

  /**
   * Sets query parameters in the address without a new entry in the history, so that what is open,
   * selected or filtered has an address too. `null` removes one.
   */
  setQuery(parameters) {
    for (const [name, value] of Object.entries(parameters)) {
      if (value === null || value === undefined || value === '') this.query.delete(name);
      else this.query.set(name, value);
    }
    const search = this.query.toString();
    history.replaceState(null, '', location.pathname + (search ? `?${search}` : ''));
  }
}
