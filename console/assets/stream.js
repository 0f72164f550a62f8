// Live updates: one EventSource for the whole page.
//
// It is open while somebody subscribes, the page is visible and the reader has not paused it. However
// many events arrive, subscribers are called at most once per frame, with the latest flow and the latest
// summary of each run.

const FIRST_BACKOFF_MILLIS = 500;
const MAX_BACKOFF_MILLIS = 15_000;
// The server sends the flow each second. A connection that says nothing for several seconds is gone,
// although nobody has closed it: a console that hangs, a suspended laptop, a lost network. Until then the
// page says "Live" and shows what is no longer true.
const SILENCE_MILLIS = 10_000;

class Stream extends EventTarget {
  #source = null;
  #subscribers = { flow: new Set(), run: new Set() };
  #paused = false;
  #state = 'reconnecting';
  #backoff = FIRST_BACKOFF_MILLIS;
  #retry = 0;
  #silence = 0;
  #frame = 0;
  #flow = null;
  #runs = new Map();

  constructor() {
    super();
    document.addEventListener('visibilitychange', () => this.#update());
    // A page in the back-forward cache must not hold a connection.
    window.addEventListener('pagehide', () => this.#close());
    window.addEventListener('pageshow', () => this.#update());
    window.addEventListener('online', () => this.#reconnectNow());
  }

  /** "live", "reconnecting" or "paused". A `state` event is fired when it changes. */
  get state() {
    return this.#state;
  }

  /**
   * Calls `handler` with each update of a kind ("flow": Flow, "run": RunSummary) until `signal` aborts.
   */
  subscribe(kind, handler, { signal }) {
    const subscribers = this.#subscribers[kind];
    subscribers.add(handler);
    signal.addEventListener('abort', () => {
      subscribers.delete(handler);
      this.#update();
    });
    this.#update();
  }

  /** Stops live updates until `resume` (WCAG 2.2.2: moving content can be paused). */
  pause() {
    this.#paused = true;
    this.#update();
  }

  resume() {
    this.#paused = false;
    this.#update();
  }

  #wanted() {
    const subscribed = this.#subscribers.flow.size + this.#subscribers.run.size > 0;
    return subscribed && !this.#paused && !document.hidden;
  }

  #update() {
    if (this.#wanted()) {
      if (!this.#source && !this.#retry) this.#open();
    } else {
      this.#close();
    }
    if (this.#paused) this.#setState('paused');
    else if (this.#state === 'paused') this.#setState('reconnecting');
  }

  #open() {
    const source = new EventSource('/api/stream');
    this.#source = source;
    this.#listenForSilence();
    source.addEventListener('open', () => {
      this.#backoff = FIRST_BACKOFF_MILLIS;
      this.#setState('live');
      this.#listenForSilence();
      this.dispatchEvent(new Event('opened'));
    });
    source.addEventListener('flow', (event) => {
      this.#receive(event, (flow) => {
        this.#flow = flow;
      });
    });
    source.addEventListener('run', (event) => {
      this.#receive(event, (run) => this.#runs.set(run.id, run));
    });
    // EventSource retries some failures by itself and gives up on others (a status other than 200). One
    // rule for all: close, and open again after a backoff of our own.
    source.addEventListener('error', () => this.#reconnectLater());
  }

  #receive(event, take) {
    this.#listenForSilence();
    let value;
    try {
      value = JSON.parse(event.data);
    } catch {
      this.#reconnectLater();
      return;
    }
    take(value);
    if (!this.#frame) this.#frame = requestAnimationFrame(() => this.#deliver());
  }

  #deliver() {
    this.#frame = 0;
    const flow = this.#flow;
    const runs = [...this.#runs.values()];
    this.#flow = null;
    this.#runs.clear();
    if (flow) call(this.#subscribers.flow, flow);
    for (const run of runs) call(this.#subscribers.run, run);
  }

  #listenForSilence() {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#reconnectLater(), SILENCE_MILLIS);
  }

  #reconnectLater() {
    this.#close();
    if (!this.#wanted()) return;
    this.#setState('reconnecting');
    // Up to half of the wait is random, so that many pages do not come back at the same instant.
    const wait = this.#backoff * (0.5 + Math.random() / 2);
    this.#backoff = Math.min(this.#backoff * 2, MAX_BACKOFF_MILLIS);
    this.#retry = setTimeout(() => {
      this.#retry = 0;
      this.#update();
    }, wait);
    this.dispatchEvent(new Event('lost'));
  }

  #reconnectNow() {
    if (this.#state !== 'reconnecting') return;
    clearTimeout(this.#retry);
    this.#retry = 0;
    this.#backoff = FIRST_BACKOFF_MILLIS;
    this.#update();
  }

  #close() {
    clearTimeout(this.#silence);
    clearTimeout(this.#retry);
    cancelAnimationFrame(this.#frame);
    this.#retry = 0;
    this.#frame = 0;
    this.#flow = null;
    this.#runs.clear();
    this.#source?.close();
    this.#source = null;
  }

  #setState(state) {
    if (this.#state === state) return;
    this.#state = state;
    this.dispatchEvent(new Event('state'));
  }
}

// A subscriber that fails must not keep the others from their update.
function call(subscribers, value) {
  for (const handler of [...subscribers]) {
    try {
      handler(value);
    } catch (error) {
      reportError(error);
    }
  }
}

/** The page's stream. */
export const stream = new Stream();
