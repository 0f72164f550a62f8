// The last 15 minutes of the series that the charts show: fetched once, then continued by each update.
// Pure but for the time, which comes with the flows.

/** Samples of a series: 15 minutes, one each second. */
export const MAX_SAMPLES = 900;

// How each series continues from a Flow. The names are those of the API's History.
const CONTINUE = {
  'ingress-outbox.rate': (flow) => edge(flow, 'ingress-outbox')?.rate_per_second,
  'order-status-processor.rate': (flow) => edge(flow, 'order-status-processor')?.rate_per_second,
  'order-status-processor.lag_records': (flow) => edge(flow, 'order-status-processor')?.lag_records,
  'order-status-processor.lag_seconds': (flow) => edge(flow, 'order-status-processor')?.lag_seconds,
  'vouchers-sink.rate': (flow) => edge(flow, 'vouchers-sink')?.rate_per_second,
  'vouchers-sink.lag_records': (flow) => edge(flow, 'vouchers-sink')?.lag_records,
  'vouchers-sink.lag_seconds': (flow) => edge(flow, 'vouchers-sink')?.lag_seconds,
  'ingress.p99_millis': (flow) => edge(flow, 'ingress-outbox')?.p99_millis,
  'processor.p99_millis': (flow) => edge(flow, 'processor-vouchers')?.p99_millis,
  'sink.p99_millis': (flow) => edge(flow, 'sink-postgres')?.p99_millis,
  'dead_letters.rate': (flow) =>
    sum(edge(flow, 'processor-dlq')?.rate_per_second, edge(flow, 'sink-dlq')?.rate_per_second),
  'outbox.rows': (flow) => edge(flow, 'outbox-order-status')?.lag_records,
};

/** The series of the last 15 minutes. */
export class History {
  #series = new Map();
  #until = null;

  constructor() {
    for (const name of Object.keys(CONTINUE)) this.#series.set(name, []);
  }

  /** Returns the samples of a series, oldest first; null where nothing is known. */
  values(name) {
    return this.#series.get(name) ?? [];
  }

  /** Returns the instant of the newest sample in milliseconds, or null. */
  get until() {
    return this.#until;
  }

  /** Takes the API's History in place of what was there. */
  replace(history) {
    const until = Date.parse(history?.until);
    if (Number.isNaN(until)) return;
    this.#until = until;
    for (const name of this.#series.keys()) {
      this.#series.set(name, (history.series?.[name] ?? []).slice(-MAX_SAMPLES));
    }
  }

  /** Continues each series by a Flow. Seconds without one become gaps. Returns whether there is a new sample. */
  append(flow) {
    const at = Date.parse(flow?.at);
    if (Number.isNaN(at)) return false;
    const steps = this.#until === null ? 1 : Math.round((at - this.#until) / 1000);
    // A flow of the same second, or an old one after a newer history, says nothing new.
    if (steps <= 0) return false;
    this.#until = at;
    for (const [name, values] of this.#series) {
      if (steps > MAX_SAMPLES) values.length = 0;
      else for (let gap = 1; gap < steps; gap += 1) values.push(null);
      const value = flow.stale ? null : CONTINUE[name](flow);
      values.push(typeof value === 'number' && Number.isFinite(value) ? value : null);
      if (values.length > MAX_SAMPLES) values.splice(0, values.length - MAX_SAMPLES);
    }
    return true;
  }
}

function edge(flow, id) {
  return flow.edges?.find((candidate) => candidate.id === id);
}

function sum(one, other) {
  if (typeof one !== 'number') return other;
  return typeof other === 'number' ? one + other : one;
}
