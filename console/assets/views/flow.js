// The whole path, live: what flows, how late it is, what is wrong, and the last 15 minutes.

import { get, isAborted, loadModule } from '../api.js';
import { problemBox } from '../components/problem.js';
import { View } from '../components/view.js';
import { afterPaint, append, h, replace, setText, uniqueId } from '../dom.js';
import { History } from '../flow/history.js';
import { flowMap } from '../flow/map.js';
import { warningStrip } from '../flow/warnings.js';
import { clock, utc } from '../format.js';
import { stream } from '../stream.js';

export const tag = 'view-flow';

export function title() {
  return 'Flow';
}

// Between two samples of the charts.
const STEP_MILLIS = 1000;

/** Loads what comes once the drawing was painted: the charts, the table, and an open node. */
export function loadRest() {
  return import('../flow/rest.js');
}

class FlowView extends View {
  #history = new History();
  #flow = null;
  #open = null;
  #wantsFocus = false;
  #askedAt = -Infinity;

  build() {
    const detailId = uniqueId('node');
    const onOpen = (id) => this.#toggle(id);
    this.at = h('time', { class: 'flow-at' });
    this.failure = h('div');
    this.warnings = warningStrip({ onOpen: (id) => this.#show(id, { focus: true }) });
    this.map = flowMap({ onOpen, detailId, signal: this.signal });
    this.picture = h('div', { class: 'card picture' }, this.map);
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
    );
    this.#showTwin(this.query.get('as') === 'table');
    this.#show(this.query.get('node'));
    stream.subscribe('flow', (flow) => this.#receive(flow), { signal: this.signal });
    this.listen(stream, 'opened', () => this.#fillGap());
    this.listen(stream, 'lost', () => this.#lose());
    this.#load();
    afterPaint(() => this.#addRest({ onOpen, detailId }));
  }

  async #addRest(parts) {
    try {
      const modules = await loadModule(loadRest);
      // The reader may have gone on to another view, which has the address by now.
      if (!this.signal.aborted) this.#buildRest(modules, parts);
    } catch (error) {
      if (this.signal.aborted) return;
      // A browser may not fetch a module again that failed.
      replace(this.failure, problemBox(error, { retry: () => location.reload() }));
    }
  }

  #buildRest({ flowCharts, flowTable, nodeDetail }, { onOpen, detailId }) {
    this.table = flowTable({ onOpen, detailId });
    this.detail = nodeDetail({ id: detailId, onClose: () => this.#close() });
    this.charts = flowCharts();
    append(this.picture, this.table);
    append(this, this.detail, this.charts);
    this.charts.update(this.#history);
    this.#showTwin(this.map.hidden);
    this.#showDetail();
  }

  async #load() {
    this.#askedAt = performance.now();
    try {
      const { flow, history } = await get('/api/flow', { signal: this.signal });
      replace(this.failure);
      this.#history.replace(history);
      this.#receive(flow);
      this.charts?.update(this.#history);
    } catch (error) {
      this.#askedAt = -Infinity;
      if (isAborted(error) || this.#flow) return;
      replace(this.failure, problemBox(error, { retry: () => this.#load() }));
    }
  }

  // After a pause the charts have a gap, which the console can fill if another page was open meanwhile. A page
  // that was just opened has asked a moment before its stream opens, so nothing is missing.
  #fillGap() {
    if (performance.now() - this.#askedAt > STEP_MILLIS) this.#load();
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
    this.detail?.update(flow);
    if (this.#history.append(flow)) this.charts?.update(this.#history);
    this.warnings.update(flow, { quiet: this.#isQuiet() });
  }

  // Of the drawing and the table, only the visible one is updated.
  #updatePicture() {
    const shown = this.map.hidden ? this.table : this.map;
    shown?.update(this.#flow);
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
    if (this.table) this.table.hidden = !table;
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
    this.#wantsFocus = focus;
    this.map.setOpen(id);
    this.setQuery({ node: id });
    if (this.detail) this.#showDetail();
  }

  // Leaves the address as it is: the view of another one may be on its way.
  #showDetail() {
    const id = this.#open;
    this.table.setOpen(id);
    this.detail.show(id);
    this.detail.update(this.#flow);
    if (!id) return;
    this.detail.scrollIntoView({ block: 'nearest' });
    if (this.#wantsFocus) this.detail.querySelector('button')?.focus({ preventScroll: true });
  }

  // The focus goes back to what opened the panel.
  #close() {
    const opener = this.picture.querySelector('[aria-expanded="true"]:not([hidden] *)');
    this.#show(null);
    opener?.focus();
  }
}

customElements.define(tag, FlowView);
