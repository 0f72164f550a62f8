// Builds elements. Texts become text nodes, so nothing that comes from a record, a header or an id is
// ever parsed as markup, and the content security policy (no inline style, no inline script, trusted
// types) is never in the way.

const SVG = 'http://www.w3.org/2000/svg';

// Values of these attributes are addresses. Only addresses that a reader may follow are accepted: a
// `javascript:` address from a record must not even be written into the document.
const ADDRESS_ATTRIBUTES = new Set(['href', 'src', 'action', 'formaction']);

/**
 * Creates an HTML element.
 *
 * @param {string} tag
 * @param {object|null} [props] `class`, `dataset: {}`, `style: {}` (set by CSSOM), `onclick: function`
 *   (any `on...`: an event listener), `text`; `true` sets an empty attribute; `null`, `undefined` and
 *   `false` set none; everything else is an attribute. `value`, `checked`, `disabled`, `selected` and
 *   `indeterminate` are set as properties.
 * @param {...(Node|string|number|null|undefined|false|Array)} children nested lists are flattened
 * @returns {HTMLElement}
 */
export function h(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** Creates an SVG element. Takes the same arguments as `h`. */
export function svg(tag, props, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

/** Appends children as `h` does. */
export function append(parent, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    parent.append(child instanceof Node ? child : String(child));
  }
  return parent;
}

/** Replaces all children. */
export function replace(parent, ...children) {
  parent.replaceChildren();
  return append(parent, ...children);
}

/** Sets an element's text, and touches the document only when the text differs. */
export function setText(element, text) {
  const value = text === null || text === undefined ? '' : String(text);
  if (element.textContent !== value) element.textContent = value;
}

/** Sets an attribute, or removes it for `null`, and touches the document only when it differs. */
export function setAttribute(element, name, value) {
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
    return;
  }
  const text = value === true ? '' : String(value);
  if (element.getAttribute(name) !== text) element.setAttribute(name, checked(name, text));
}

let ids = 0;

/** Returns an id that no other element of the page has, for `for`, `aria-labelledby` and the like. */
export function uniqueId(prefix) {
  ids += 1;
  return `${prefix}-${ids}`;
}

/** Calls `work` once the page was painted as it is now. */
export function afterPaint(work) {
  requestAnimationFrame(() => setTimeout(work));
}

const PROPERTIES = new Set(['value', 'checked', 'disabled', 'selected', 'indeterminate']);

function fill(element, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) setProp(element, name, value);
  return append(element, children);
}

function setProp(element, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (name === 'dataset') {
    Object.assign(element.dataset, value);
  } else if (name === 'style') {
    for (const [property, text] of Object.entries(value)) element.style.setProperty(property, text);
  } else if (name === 'text') {
    element.textContent = value;
  } else if (name.startsWith('on')) {
    if (typeof value !== 'function') throw new TypeError(`${name} must be a function`);
    element.addEventListener(name.slice(2).toLowerCase(), value);
  } else if (PROPERTIES.has(name)) {
    element[name] = value;
  } else {
    element.setAttribute(name, checked(name, value === true ? '' : String(value)));
  }
}

function checked(name, value) {
  if (!ADDRESS_ATTRIBUTES.has(name)) return value;
  const address = new URL(value, document.baseURI);
  if (address.protocol === 'http:' || address.protocol === 'https:') return value;
  return '#';
}
