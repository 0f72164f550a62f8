// Signing in with a key. The key is posted once; a cookie that scripts cannot read carries the session.

import { post } from '../api.js';
import { actionButton } from '../components/action-button.js';
import { field } from '../components/field.js';
import { icon } from '../components/icons.js';
import { problemBox } from '../components/problem.js';
import { View } from '../components/view.js';
import { h, replace } from '../dom.js';
import { navigate } from '../navigate.js';
import { returnPath } from '../routes.js';
import { loadSession } from '../session.js';

export const tag = 'view-login';

export function title() {
  return 'Sign in';
}

class LoginView extends View {
  build() {
    const back = returnPath(this.query.get('return'));
    if (this.session) {
      replace(this, h('h1', null, 'You are signed in'), h('p', null, h('a', { href: back }, 'Go on')));
      return;
    }
    const key = field({
      label: 'Key',
      input: h('input', {
        type: 'password',
        name: 'key',
        autocomplete: 'current-password',
        autocapitalize: 'off',
        spellcheck: 'false',
        required: true,
      }),
    });
    const show = h('input', { type: 'checkbox', id: 'login-show' });
    show.addEventListener('change', () => {
      key.input.type = show.checked ? 'text' : 'password';
    });
    const failure = h('div');
    const submit = actionButton('Sign in', () => this.#signIn(key, failure, back), {
      class: 'button primary',
      busy: 'Signing in',
      type: 'submit',
    });
    const form = h(
      'form',
      { class: 'form', novalidate: true },
      key.element,
      h('label', { class: 'check', for: 'login-show' }, show, h('span', null, 'Show the key')),
      failure,
      h('div', { class: 'actions' }, submit),
    );
    form.addEventListener('submit', (event) => event.preventDefault());
    replace(
      this,
      h(
        'div',
        { class: 'card login-card' },
        h('div', { class: 'login-brand' }, icon('brand'), h('h1', null, 'Sign in to checkout')),
        form,
        h(
          'div',
          { class: 'login-help' },
          h('p', null, 'Whoever runs this console gives keys: one line for each person in the file that CONSOLE_KEYS_FILE names, with the role viewer (looks) or operator (changes things).'),
          h('p', null, 'The key is sent once. A session lasts for 12 hours.'),
        ),
      ),
    );
    key.input.focus();
  }

  async #signIn(key, failure, back) {
    // A pasted key often has a space or a line break at its end.
    const value = key.input.value.trim();
    key.setError(value === '' ? 'Paste or type your key.' : null);
    if (value === '') {
      key.input.focus();
      return;
    }
    replace(failure);
    try {
      await post('/api/session', { key: value }, { signal: this.signal, onUnauthorized: null });
      await loadSession();
      navigate(back, { replace: true });
    } catch (error) {
      if (this.signal.aborted) return;
      replace(failure, problemBox(error, { hint: hint(error) }));
      key.input.select();
      key.input.focus();
    }
  }
}

function hint(error) {
  if (error.problem?.status !== 401) return null;
  return 'Check that the whole key was pasted. Keys that were replaced no longer work.';
}

customElements.define(tag, LoginView);
