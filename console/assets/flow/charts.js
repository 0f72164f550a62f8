// The last 15 minutes, as small charts in three groups.

import { sparkline } from '../chart.js';
import { h } from '../dom.js';
import { millis, number, rate, seconds } from '../format.js';
import { MAX_SAMPLES } from './history.js';

// `least`: a chart's upper edge is never below it, so that 0.2 orders a second are no mountains.
const GROUPS = [
  {
    title: 'How much',
    charts: [
      { series: 'ingress-outbox.rate', title: 'Orders accepted', format: rate, least: 1 },
      { series: 'order-status-processor.rate', title: 'Records processed', format: rate, least: 1 },
      { series: 'vouchers-sink.rate', title: 'Vouchers stored', format: rate, least: 1 },
      { series: 'dead_letters.rate', title: 'Dead letters', format: rate, least: 1, tone: 'bad' },
    ],
  },
  {
    title: 'How late',
    charts: [
      { series: 'order-status-processor.lag_seconds', title: 'Processor late by', format: seconds, least: 1, tone: 'warn' },
      { series: 'vouchers-sink.lag_seconds', title: 'Sink late by', format: seconds, least: 1, tone: 'warn' },
      { series: 'order-status-processor.lag_records', title: 'Waiting for the processor', format: number, least: 10, tone: 'warn' },
      { series: 'vouchers-sink.lag_records', title: 'Waiting for the sink', format: number, least: 10, tone: 'warn' },
      { series: 'outbox.rows', title: 'Waiting in the outbox', format: number, least: 10, tone: 'warn' },
    ],
  },
  {
    title: 'How fast, 99 of 100',
    charts: [
      { series: 'ingress.p99_millis', title: 'Ingress: request to answer', format: millis, least: 10 },
      { series: 'processor.p99_millis', title: 'Processor: order to voucher', format: millis, least: 10 },
      { series: 'sink.p99_millis', title: 'Sink: voucher to row', format: millis, least: 10 },
    ],
  },
];

/** Returns the charts, with `update(history)`. */
export function flowCharts() {
  const charts = [];
  const element = h(
    'div',
    { class: 'chart-groups' },
    GROUPS.map((group) =>
      h(
        'section',
        { class: 'section' },
        h('h2', null, group.title),
        h(
          'div',
          { class: 'chart-grid' },
          group.charts.map((options) => {
            const chart = sparkline({ ...options, capacity: MAX_SAMPLES });
            charts.push([options.series, chart]);
            return chart;
          }),
        ),
      ),
    ),
  );
  element.update = (history) => {
    for (const [series, chart] of charts) chart.update(history.values(series), history.until);
  };
  return element;
}
