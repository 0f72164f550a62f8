// Every view has an address. A module of a view exports `tag`, the name of its custom element (a `View`),
// and `title(params)`, the document's title. `loadRest()`, where a view has it, loads the modules that the view
// takes when it was shown.

export const ROUTES = [
  { pattern: '/flow', nav: 'flow', load: () => import('./views/flow.js') },
  { pattern: '/try', nav: 'try', load: () => import('./views/try.js') },
  { pattern: '/orders', nav: 'orders', load: () => import('./views/order.js') },
  { pattern: '/orders/{id}', nav: 'orders', load: () => import('./views/order.js') },
  { pattern: '/dead-letters', nav: 'dead-letters', load: () => import('./views/dead-letters.js') },
  { pattern: '/dead-letters/{service}/{id}', nav: 'dead-letters', load: () => import('./views/dead-letter.js') },
  { pattern: '/replay', nav: 'replay', load: () => import('./views/replay.js') },
  { pattern: '/runs', nav: 'runs', load: () => import('./views/runs.js') },
  { pattern: '/runs/{id}', nav: 'runs', load: () => import('./views/run.js') },
  { pattern: '/login', nav: null, open: true, load: () => import('./views/login.js') },
];

export const NAVIGATION = [
  { id: 'flow', href: '/flow', label: 'Flow' },
  { id: 'try', href: '/try', label: 'Try' },
  { id: 'orders', href: '/orders', label: 'Orders' },
  { id: 'dead-letters', href: '/dead-letters', label: 'Dead letters' },
  { id: 'replay', href: '/replay', label: 'Replay' },
  { id: 'runs', href: '/runs', label: 'Runs' },
];

/** Returns the route of a path with its parameters decoded, or null. "/" is the first route. */
export function matchRoute(path) {
  const parts = split(path);
  if (parts.length === 0) return { route: ROUTES[0], params: {} };
  for (const route of ROUTES) {
    const params = matchParts(split(route.pattern), parts);
    if (params) return { route, params };
  }
  return null;
}

/** Returns a path of this page to go on to after the login. Anything else becomes "/flow". */
export function returnPath(text) {
  // "//host" and "/\host" are addresses of other hosts. Browsers leave tabs and ends of lines out of an address.
  const isOwn = typeof text === 'string' && /^\/(?![/\\])[^\t\n\r]*$/.test(text);
  if (!isOwn || text.startsWith('/login')) return '/flow';
  return text;
}

function split(path) {
  return path.split('/').filter((part) => part !== '');
}

function matchParts(pattern, parts) {
  if (pattern.length !== parts.length) return null;
  const params = {};
  for (const [at, name] of pattern.entries()) {
    if (name.startsWith('{')) {
      try {
        params[name.slice(1, -1)] = decodeURIComponent(parts[at]);
      } catch {
        return null;
      }
    } else if (name !== parts[at]) {
      return null;
    }
  }
  return params;
}
