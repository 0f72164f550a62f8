// Going to another address of the page, from anywhere, without knowing the router.

/** Shows the view of a path. `replace` leaves no entry of the present address in the history. */
export function navigate(path, { replace = false } = {}) {
  if (replace) history.replaceState(null, '', path);
  else history.pushState(null, '', path);
  window.dispatchEvent(new Event('navigate-view'));
}

/** Goes to the login page, and comes back to the present address afterwards. */
export function goToLogin() {
  if (location.pathname === '/login') return;
  const back = location.pathname + location.search + location.hash;
  navigate(`/login?return=${encodeURIComponent(back)}`, { replace: true });
}
