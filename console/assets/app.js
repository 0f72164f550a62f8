// The page: session, router, frame, and what is shown when a view fails.

import { loadModule, onUnauthorized } from './api.js';
import { announce, announceIn } from './components/announce.js';
import { emptyState } from './components/empty-state.js';
import { problemBox } from './components/problem.js';
import { h, replace } from './dom.js';
import { buildFooter, buildHeader } from './frame.js';
import { goToLogin, navigate } from './navigate.js';
import { matchRoute, ROUTES } from './routes.js';
import { forgetSession, loadSession, onSession, session } from './session.js';
import { stream } from './stream.js';

const main = document.getElementById('main');
const header = buildHeader(document.getElementById('header'));
const footer = buildFooter(document.getElementById('footer'));
announceIn(document.getElementById('announcements'));

// Views load while the reader may already have gone on: only the newest navigation is shown.
let navigation = 0;

async function show({ initial = false } = {}) {
  navigation += 1;
  const mine = navigation;
  const path = location.pathname;
  const found = matchRoute(path);
  try {
    const [module] = await Promise.all([
      found && loadModule(found.route.load),
      found?.route.open || session() ? null : loadSession(),
    ]);
    if (mine !== navigation) return;
    header.update(found?.route.nav ?? null);
    footer.update();
    mount(found ? element(module, found.params) : notFound(path));
    document.title = `${found ? module.title(found.params) : 'Not found'} · checkout`;
  } catch (error) {
    // A 401 has already led to the login page, which is a newer navigation.
    if (mine !== navigation) return;
    header.update(found?.route.nav ?? null);
    mount(failed(error));
    document.title = 'Failed · checkout';
  }
  if (!initial || location.hash) focusStart();
}

function element(module, params) {
  const view = document.createElement(module.tag);
  view.classList.add('view');
  view.params = params;
  view.query = new URLSearchParams(location.search);
  view.session = session();
  return view;
}

function mount(view) {
  header.close();
  replace(main, view);
}

// A screen reader reads on from the focus: without this it would stay on the link of the page before. An
// address may name a part of its view, as /dead-letters#sink does.
function focusStart() {
  window.scrollTo(0, 0);
  const part = document.getElementById(location.hash.slice(1));
  focus(part ?? main.querySelector('h1'));
}

function focus(element) {
  if (!element) return;
  // What the keyboard reaches already must stay within its reach.
  if (element.tabIndex < 0) element.tabIndex = -1;
  element.focus();
}

function notFound(path) {
  return h(
    'div',
    { class: 'view' },
    h('h1', null, 'There is no such page'),
    emptyState({
      title: `Nothing has the address ${path}`,
      text: 'The address may have been copied in part.',
      actions: [h('a', { class: 'button', href: '/flow' }, 'Go to the flow')],
    }),
  );
}

function failed(error) {
  return h(
    'div',
    { class: 'view' },
    h('h1', null, 'This page failed'),
    problemBox(error, { retry: () => location.reload() }),
  );
}

// A custom element's connectedCallback does not throw into `mount`: its errors arrive here, like those of
// handlers and of promises that nobody awaits.
function onFailure(error) {
  if (error?.name === 'AbortError') return;
  const view = main.firstElementChild;
  if (!view || view.childElementCount === 0) {
    replace(main, failed(error));
    return;
  }
  // One at a time: a failure that repeats with each update must not fill the page.
  main.querySelector('.page-failure')?.remove();
  main.prepend(h('div', { class: 'page-failure' }, problemBox(error, { retry: () => location.reload() })));
}

window.addEventListener('error', (event) => onFailure(event.error ?? event.message));
window.addEventListener('unhandledrejection', (event) => onFailure(event.reason));
window.addEventListener('popstate', () => show());
window.addEventListener('navigate-view', () => show());

document.addEventListener('click', (event) => {
  if (event.defaultPrevented || event.button !== 0) return;
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = event.target.closest?.('a[href]');
  if (!link || link.target || link.hasAttribute('download')) return;
  const address = new URL(link.href);
  if (address.origin !== location.origin) return;
  if (address.pathname === location.pathname && address.hash) {
    // Within the page, such as the skip link: the focus moves, and the address stays that of the view.
    event.preventDefault();
    focus(document.getElementById(address.hash.slice(1)));
    return;
  }
  if (!matchRoute(address.pathname)) return;
  event.preventDefault();
  navigate(address.pathname + address.search + address.hash);
});

onUnauthorized(() => {
  forgetSession();
  goToLogin();
});

// The stream is open in every view, so that the header's state is true and the end of a run is announced
// wherever the reader is.
onSession((signal) => {
  stream.subscribe('run', (run) => announceRun(run), { signal });
});

const ENDED = { done: 'is done', failed: 'has failed', stopped: 'was stopped' };

function announceRun(run) {
  const ended = ENDED[run.state];
  if (ended) announce(`The ${run.dry_run ? 'preview of the ' : ''}${run.kind} ${ended}.`);
}

// EventSource tells no status. When the stream is lost, the session may have ended: ask.
stream.addEventListener('lost', () => {
  if (session()) loadSession().catch(() => {});
});

let lost = false;
stream.addEventListener('lost', () => {
  if (!lost) announce('The connection to the console is lost. It is being restored.');
  lost = true;
});
stream.addEventListener('state', () => {
  if (stream.state === 'paused') announce('Live updates are paused.');
  if (stream.state === 'live' && lost) {
    lost = false;
    announce('The connection to the console is restored.');
  }
});

// The modules of the other views come once the first one is shown, one view after the other: another view
// is shown at once then, and also while the console is away, when it can say so.
const PAUSE_MILLIS = 500;

async function loadOtherViews() {
  try {
    for (const { load } of ROUTES) {
      const { loadRest } = await load();
      await loadRest?.();
    }
  } catch {
    // A browser may not fetch a module again that failed, so the others are left until they are asked for.
  }
}

show({ initial: true }).then(() => setTimeout(loadOtherViews, PAUSE_MILLIS));
