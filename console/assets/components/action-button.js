// A button whose work takes time: it cannot be pressed twice, and says that it is working.

import { h, replace } from '../dom.js';
import { icon } from './icons.js';

/**
 * @param {string} label
 * @param {function(Event): Promise} action failures are the action's to show
 * @param {{class?: string, busy?: string, type?: string}} [options] `busy`: the label while it works
 * @returns {HTMLButtonElement}
 */
export function actionButton(label, action, { class: name = 'button', busy = label, type = 'button' } = {}) {
  const button = h('button', { type, class: name }, label);
  let running = false;
  button.addEventListener('click', async (event) => {
    event.preventDefault();
    if (running) return;
    running = true;
    // aria-disabled and not disabled: a disabled button loses the focus.
    button.setAttribute('aria-disabled', 'true');
    replace(button, icon('running'), h('span', null, busy));
    try {
      await action(event);
    } finally {
      running = false;
      button.removeAttribute('aria-disabled');
      replace(button, label);
    }
  });
  return button;
}
