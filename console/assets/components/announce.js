// The page's one live region. It is for changes of a state (a connection lost, a run ended, a text
// copied), never for numbers that change by themselves, which a screen reader would read without end.

let region = null;
let last = '';

/** Takes the element that announces; it stands in the document from the start. */
export function announceIn(element) {
  region = element;
}

/** Says a sentence politely. */
export function announce(sentence) {
  if (!region) return;
  // A screen reader repeats a sentence only if the text differs from the last one.
  region.textContent = sentence === last ? `${sentence}\u00a0` : sentence;
  last = region.textContent;
}
