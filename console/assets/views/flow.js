// The whole path, live: what flows, how late it is, what is wrong, and the last 15 minutes.

import { get, isAborted } from '../api.js';
import { problemBox } from '../components/problem.js';
import { View } from '../components/view.js';
import { h, replace, setText, uniqueId } from '../dom.js';
import { flowCharts } from '../flow/charts.js';
import { nodeDetail } from '../flow/detail.js';
import { History } from '../flow/history.js';
import { flowMap } from '../flow/map.js';
import { flowTable } from '../flow/table.js';
import { warningStrip } from '../flow/warnings.js';
import { clock, utc } from '../format.js';
import { stream } from '../stream.js';

export const tag = 'view-flow';

export function title() {
  return 'Flow';
}

class FlowView extends View {
  #history = new History();
  #flow = null;
  #open = null;

  build() {
    const detailId = uniqueId('node');
    const onOpen = (id) => this.#toggle(id);
    this.at = h('time', { class: 'flow-at' });
    this.failure = h('div');
    this.warnings = warningStrip({ onOpen: (id) => this.#show(id, { focus: true }) });
    this.map = flowMap({ onOpen, detailId, signal: this.signal });
    this.table = flowTable({ onOpen, detailId });
    this.detail = nodeDetail({ id: detailId, onClose: () => this.#close() });
    this.charts = flowCharts();
    this.picture = h('div', { class: 'card picture' }, this.map, this.table);
    replace(
      this,
      h(
        'div',
        { class: 'view-head' },
        h('h1', null, 'Flow'),
        h('div', { class: 'actions' }, this.at, this.#twins()),
      ),
      this.failure,
      this.warnings,
      this.picture,
      this.detail,
      this.charts,
    );
    this.#showTwin(this.query.get('as') === 'table');
    this.#show(this.query.get('node'));
    stream.subscribe('flow', (flow) => this.#receive(flow), { signal: this.signal });
    // After a pause the charts have a gap, which the console can fill if another page was open meanwhile.
    this.listen(stream, 'opened', () => this.#load());
    this.listen(stream, 'lost', () => this.#lose());
    this.#load();
  }

  async #load() {
    try {
      const { flow, history } = await get('/api/flow', { signal: this.signal });
      replace(this.failure);
      this.#history.replace(history);
      this.#receive(flow);
      this.charts.update(this.#history);
    } catch (error) {
      if (isAborted(error) || this.#flow) return;
      replace(this.failure, problemBox(error, { retry: () => this.#load() }));
    }
  }

  // No newer flow arrives, so the numbers must not look current.
  #lose() {
    if (!this.#flow) return;
    this.#showAge(this.#flow.at, true);
    this.warnings.update({ ...this.#flow, stale: true }, { lost: true });
  }

  #showAge(at, isStale) {
    setText(this.at, `${isStale ? 'Last seen' : 'As of'} ${clock(at)}`);
    this.at.dateTime = at;
    this.at.title = utc(at);
    this.at.classList.toggle('warn', isStale);
    this.picture.classList.toggle('stale', isStale);
  }

  #receive(flow) {
    this.#flow = flow;
    this.#showAge(flow.at, Boolean(flow.stale));
    this.#updatePicture();
    this.detail.update(flow);
    if (this.#history.append(flow)) this.charts.update(this.#history);
    this.warnings.update(flow, { quiet: this.#isQuiet() });
  }

  // Of the drawing and the table, only the visible one is updated.
  #updatePicture() {
    const shown = this.table.hidden ? this.map : this.table;
    shown.update(this.#flow);
  }

  #isQuiet() {
    const known = this.#history.values('order-status-processor.rate').filter((value) => value !== null);
    return known.length > 0 && known.every((value) => value === 0);
  }

  #twins() {
    this.twins = [
      h('button', { type: 'button', onclick: () => this.#selectTwin(false) }, 'Drawing'),
      h('button', { type: 'button', onclick: () => this.#selectTwin(true) }, 'Table'),
    ];
    return h('div', { class: 'switch', role: 'group', 'aria-label': 'Show the flow as' }, this.twins);
  }

  #selectTwin(table) {
    this.#showTwin(table);
    this.setQuery({ as: table ? 'table' : null });
  }

  #showTwin(table) {
    this.map.hidden = table;
    this.table.hidden = !table;
    for (const [at, button] of this.twins.entries()) {
      button.setAttribute('aria-pressed', String((at === 1) === table));
    }
    this.#updatePicture();
  }

  #toggle(id) {
    this.#show(id === this.#open ? null : id);
  }

  #show(id, { focus = false } = {}) {
    this.#open = id;
    this.map.setOpen(id);
    this.table.setOpen(id);
    this.detail.show(id);
    this.detail.update(this.#flow);
    this.setQuery({ node: id });
    if (!id) return;
    this.detail.scrollIntoView({ block: 'nearest' });
    if (focus) this.detail.querySelector('button')?.focus({ preventScroll: true });
  }

  // The focus goes back to what opened the panel.
  #close() {
    const opener = this.picture.querySelector('[aria-expanded="true"]:not([hidden] *)');
    this.#show(null);
    opener?.focus();
  }
}

customElements.define(tag, FlowView);
