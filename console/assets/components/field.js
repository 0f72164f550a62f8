// A form field: label, hint and error belong to its input, for the eye and for a screen reader.

import { h, setText, uniqueId } from '../dom.js';

/**
 * @param {{label: string, hint?: string|Node, input: HTMLElement, wide?: boolean}} options
 * @returns {{element: HTMLElement, input: HTMLElement, setError: function(string|null)}}
 */
export function field({ label, hint, input, wide = false }) {
  const id = input.id || uniqueId('field');
  input.id = id;
  input.classList.add('input');
  const error = h('p', { id: `${id}-error`, class: 'field-error', hidden: true });
  const described = [];
  if (hint) described.push(`${id}-hint`);
  described.push(`${id}-error`);
  input.setAttribute('aria-describedby', described.join(' '));
  const element = h(
    'div',
    { class: `field${wide ? ' wide' : ''}` },
    h('label', { for: id, class: 'field-label' }, label),
    input,
    hint ? h('p', { id: `${id}-hint`, class: 'field-hint' }, hint) : null,
    error,
  );
  return {
    element,
    input,
    setError(sentence) {
      setText(error, sentence ?? '');
      error.hidden = !sentence;
      if (sentence) input.setAttribute('aria-invalid', 'true');
      else input.removeAttribute('aria-invalid');
    },
  };
}
