// The frame around every view: navigation, live state, who is signed in, and the footer.

import { remove } from './api.js';
import { icon } from './components/icons.js';
import { stateBadge } from './components/state-badge.js';
import { afterPaint, append, h, replace, setAttribute, setText } from './dom.js';
import { goToLogin } from './navigate.js';
import { NAVIGATION } from './routes.js';
import { forgetSession, session } from './session.js';
import { stream } from './stream.js';

/** Builds the header. Returns `update(nav)`, called after each navigation, and `close()` for the menu. */
export function buildHeader(element) {
  const links = new Map(
    NAVIGATION.map(({ id, href, label }) => [id, h('a', { class: 'nav-link', href }, label)]),
  );
  const navigation = h(
    'nav',
    { class: 'nav', 'aria-label': 'Views', id: 'navigation' },
    h('ul', { class: 'nav-list' }, [...links.values()].map((link) => h('li', null, link))),
  );
  const menu = h(
    'button',
    {
      type: 'button',
      class: 'button quiet menu-button',
      'aria-expanded': 'false',
      'aria-controls': 'navigation account',
      onclick: () => setOpen(menu.getAttribute('aria-expanded') !== 'true'),
    },
    'Menu',
    icon('chevron'),
  );
  const account = buildAccount();
  append(
    element,
    h(
      'div',
      { class: 'header-inner' },
      h('a', { class: 'brand', href: '/flow' }, icon('brand'), h('span', null, 'checkout')),
      navigation,
      buildLive(),
      account.element,
      menu,
    ),
  );
  element.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || menu.getAttribute('aria-expanded') !== 'true') return;
    setOpen(false);
    menu.focus();
  });

  function setOpen(open) {
    menu.setAttribute('aria-expanded', String(open));
    element.classList.toggle('open', open);
  }

  return {
    close: () => setOpen(false),
    update(current) {
      element.classList.toggle('signed-out', !session());
      for (const [id, link] of links) setAttribute(link, 'aria-current', id === current ? 'page' : null);
      account.update();
    },
  };
}

/** Builds the footer. Returns `update()`. */
export function buildFooter(element) {
  const version = h('span');
  const campaign = h('span');
  const zone = h('span');
  append(
    element,
    h(
      'div',
      { class: 'footer-inner' },
      version,
      campaign,
      zone,
    ),
  );
  return {
    update() {
      const who = session();
      setText(version, who?.version ? `checkout ${who.version}` : 'checkout');
      setText(campaign, who?.campaign ? `Campaign ${who.campaign}` : '');
      campaign.hidden = !who?.campaign;
      // A browser's first question about zones takes tens of milliseconds, which the view need not wait for.
      afterPaint(() => setText(zone, sentenceOnZone()));
    },
  };
}

function sentenceOnZone() {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone ?? 'this browser';
  return zone === 'UTC' ? 'Times are in UTC.' : `Times are those of ${zone}; hover over one for UTC.`;
}

function buildLive() {
  const badge = stateBadge(stream.state);
  const button = h('button', { type: 'button', class: 'button quiet icon-button', onclick: toggle });
  const element = h('div', { class: 'live' }, badge, button);
  let connected = false;
  show();
  stream.addEventListener('state', show);

  function toggle() {
    if (stream.state === 'paused') stream.resume();
    else stream.pause();
  }

  function show() {
    const paused = stream.state === 'paused';
    const label = paused ? 'Resume live updates' : 'Pause live updates';
    // Before the first connection there is none that could be lost.
    connected ||= stream.state === 'live';
    const connecting = stream.state === 'reconnecting' && !connected;
    badge.update(stream.state, connecting ? 'Connecting' : undefined);
    if (button.title === label) return;
    button.title = label;
    button.setAttribute('aria-label', label);
    replace(button, icon(paused ? 'play' : 'pause'));
  }
  return element;
}

function buildAccount() {
  const name = h('span', { class: 'account-name' });
  const role = h('span', { class: 'account-role' });
  const signOut = h('button', { type: 'button', class: 'button quiet small', onclick: leave }, 'Sign out');
  const element = h(
    'div',
    { class: 'account', id: 'account' },
    h('span', { class: 'account-who' }, name, role),
    signOut,
  );

  async function leave() {
    // Whatever the answer is, this page no longer shows anything of the session.
    await remove('/api/session').catch(() => {});
    forgetSession();
    goToLogin();
  }

  return {
    element,
    update() {
      const who = session();
      setText(name, who?.name ?? '');
      setText(role, who?.role ?? '');
      // In a console without keys nobody can sign out.
      signOut.hidden = !who?.signed_in;
    },
  };
}
