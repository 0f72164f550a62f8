// The dead letters of both services.

import { serviceSection } from '../dead-letters/service-section.js';
import { View } from '../components/view.js';
import { h, replace } from '../dom.js';
import { hasEnded } from '../models/run-words.js';
import { stream } from '../stream.js';

const SERVICES = ['processor', 'sink'];

export const tag = 'view-dead-letters';

export function title() {
  return 'Dead letters';
}

class DeadLettersView extends View {
  build() {
    const all = this.query.get('closed') === 'true';
    const box = h('input', { type: 'checkbox', checked: all });
    const sections = SERVICES.map((service) =>
      serviceSection({
        service,
        all,
        // The reason that is listed alone has an address: /dead-letters?processor=invalid_total
        only: this.query.get(service),
        signal: this.signal,
        session: this.session,
        onOnly: (reason) => this.setQuery({ [service]: reason }),
      }),
    );
    box.addEventListener('change', () => {
      this.setQuery({ closed: box.checked ? 'true' : null });
      for (const section of sections) section.setAll(box.checked);
    });
    const refresh = h(
      'button',
      { type: 'button', class: 'button', onclick: () => sections.forEach((section) => section.load()) },
      'Read again',
    );
    replace(
      this,
      h(
        'div',
        { class: 'view-head' },
        h(
          'div',
          null,
          h('h1', null, 'Dead letters'),
          h(
            'p',
            { class: 'lead' },
            'Records that could not be used are kept byte for byte. Correct the cause, then redrive them: each is ' +
              'tried again from its original bytes.',
          ),
        ),
        h('div', { class: 'actions' }, h('label', { class: 'check' }, box, 'Show closed ones'), refresh),
      ),
      jumps(),
      sections,
    );
    for (const section of sections) section.load();
    this.reloadAfterRuns(sections);
  }

  // Somebody else's redrive changes what is listed here.
  reloadAfterRuns(sections) {
    const changed = (run) => {
      const at = SERVICES.indexOf(run.service);
      if (at >= 0 && !run.dry_run && run.kind !== 'backfill' && hasEnded(run.state)) sections[at].load();
    };
    stream.subscribe('run', changed, { signal: this.signal });
  }
}

// The second list is far below the first when that is long.
function jumps() {
  const links = SERVICES.map((service) => h('a', { href: `#${service}` }, `Dead letters of the ${service}`));
  return h('nav', { class: 'actions small', 'aria-label': 'On this page' }, links);
}

customElements.define(tag, DeadLettersView);
