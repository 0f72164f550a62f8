// The command that does the same as the button, the form or the view beside it.

import { h, setText } from '../dom.js';
import { announce } from './announce.js';
import { icon } from './icons.js';

/**
 * Shows a command with a button that copies it.
 *
 * @param {string} command
 * @param {{label?: string}} [options] what stands before the command
 * @returns {HTMLElement} with `update(command)`
 */
export function commandLine(command, { label = 'The same from a shell' } = {}) {
  const code = h('code', { class: 'command-text', tabindex: '0', role: 'group', 'aria-label': label }, command);
  const text = h('span', null, 'Copy');
  const button = h(
    'button',
    { type: 'button', class: 'button small quiet', 'aria-label': 'Copy the command', onclick: copy },
    icon('copy'),
    text,
  );
  const element = h(
    'div',
    { class: 'command' },
    h('div', { class: 'command-head' }, h('span', { class: 'command-label' }, label), button),
    code,
  );
  element.update = (value) => setText(code, value);

  async function copy() {
    const done = await copyText(code);
    setText(text, done ? 'Copied' : 'Selected');
    announce(done ? 'The command was copied.' : 'The command is selected. Copy it with Ctrl+C.');
    setTimeout(() => setText(text, 'Copy'), 2000);
  }
  return element;
}

/**
 * Copies an element's text. Returns false when the browser allows no copying, as on a plain HTTP address
 * other than the loopback; the text is selected then.
 */
async function copyText(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    const range = document.createRange();
    range.selectNodeContents(element);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    return false;
  }
}
