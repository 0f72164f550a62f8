// The last 15 minutes, as small charts: what flows, how late it is, how fast it is.

import { niceSeconds } from '../chart-geometry.js';
import { sparkline } from '../chart.js';
import { h } from '../dom.js';
import { millis, number, rate, seconds } from '../format.js';
import { MAX_SAMPLES } from './history.js';

// Twelve fill rows of two, three, four and six. `least`: a chart's upper edge is never below it, so that
// 0.2 orders a second are no mountains.
const CHARTS = [
  { series: 'ingress-outbox.rate', title: 'Orders accepted', format: rate, least: 1 },
  { series: 'order-status-processor.rate', title: 'Records processed', format: rate, least: 1 },
  { series: 'vouchers-sink.rate', title: 'Vouchers stored', format: rate, least: 1 },
  { series: 'dead_letters.rate', title: 'Dead letters', format: rate, least: 1, tone: 'bad' },
  { series: 'order-status-processor.lag_seconds', title: 'Processor late by', format: seconds, nice: niceSeconds, least: 1, tone: 'warn' },
  { series: 'order-status-processor.lag_records', title: 'Waiting for the processor', format: number, least: 10, tone: 'warn' },
  { series: 'vouchers-sink.lag_seconds', title: 'Sink late by', format: seconds, nice: niceSeconds, least: 1, tone: 'warn' },
  { series: 'vouchers-sink.lag_records', title: 'Waiting for the sink', format: number, least: 10, tone: 'warn' },
  { series: 'ingress.p99_millis', title: 'Request to answer, p99', format: millis, least: 10 },
  { series: 'processor.p99_millis', title: 'Order to voucher, p99', format: millis, least: 10 },
  { series: 'sink.p99_millis', title: 'Voucher to row, p99', format: millis, least: 10 },
  { series: 'outbox.rows', title: 'Waiting in the outbox', format: number, least: 10, tone: 'warn' },
];

/** Returns the charts, with `update(history)`. */
export function flowCharts() {
  const charts = CHARTS.map((options) => [options.series, sparkline({ ...options, capacity: MAX_SAMPLES })]);
  const element = h(
    'section',
    { class: 'charts' },
    h('h2', null, 'The last 15 minutes'),
    h('div', { class: 'chart-grid' }, charts.map(([, chart]) => chart)),
  );
  element.update = (history) => {
    for (const [series, chart] of charts) chart.update(history.values(series), history.until);
  };
  return element;
}
