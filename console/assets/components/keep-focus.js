// Replaces a part of the page without losing the reader's place in it.

const NAMED = 'a[href], button, input, select, textarea, summary';

/**
 * Calls `render`, which replaces the content of `element`. When the focus was within, it moves to what has
 * the same name afterwards.
 */
export function keepFocus(element, render) {
  const active = element.contains(document.activeElement) ? document.activeElement : null;
  const name = active && nameOf(active);
  render();
  if (!name || active.isConnected) return;
  const same = [...element.querySelectorAll(NAMED)].find((candidate) => nameOf(candidate) === name);
  same?.focus({ preventScroll: true });
}

function nameOf(element) {
  const words = element.getAttribute('aria-label') ?? element.getAttribute('href') ?? element.textContent;
  return `${element.localName} ${words}`;
}
