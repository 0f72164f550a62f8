// The order form.

import { actionButton } from '../components/action-button.js';
import { commandLine } from '../components/command-line.js';
import { field } from '../components/field.js';
import { icon } from '../components/icons.js';
import { h, replace } from '../dom.js';
import { bodyOf, DEFAULTS, faults, formCommands, MAX_PRODUCTS, sum } from './order.js';

/**
 * @param {{onPlace: function(object, boolean): Promise}} options called with the body of the order and
 *   whether to set it to SENT afterwards
 * @returns {HTMLElement}
 */
export function orderForm({ onPlace }) {
  // The total follows the products until somebody writes another one.
  let totalIsWritten = false;
  const products = [];

  const total = field({
    label: 'Total',
    hint: 'The sum of the products, unless you write another.',
    input: h('input', { type: 'text', name: 'total', inputmode: 'decimal', required: true, autocomplete: 'off' }),
  });
  const currency = field({
    label: 'Currency',
    hint: 'Three letters.',
    input: h('input', { type: 'text', name: 'currency', maxlength: '3', autocomplete: 'off', value: DEFAULTS.currency }),
  });
  const orderId = field({
    label: 'Order id',
    hint: 'Empty: the service makes one.',
    input: h('input', { type: 'text', name: 'order_id', autocomplete: 'off', spellcheck: 'false' }),
  });
  const send = h('input', { type: 'checkbox', name: 'send', id: 'try-send', checked: true });
  const list = h('ul', { class: 'product-list' });
  const add = h('button', { type: 'button', class: 'button small', onclick: () => addProduct({ name: '', price: '' }, true) }, icon('plus'), 'Add a product');
  const shell = commandLine('', { label: 'The same from a shell' });
  const place = actionButton('Place the order', submit, { class: 'button primary', busy: 'Placing', type: 'submit' });

  const form = h(
    'form',
    { class: 'form', novalidate: true, 'aria-label': 'A new order' },
    h('fieldset', { class: 'products' }, h('legend', null, 'Products'), list, add),
    h('div', { class: 'form-row' }, total.element, currency.element),
    orderId.element,
    h(
      'label',
      { class: 'check', for: 'try-send' },
      send,
      h('span', null, 'Set it to SENT at once. Only a sent order earns a voucher.'),
    ),
    h('div', { class: 'actions' }, place),
    shell,
  );
  form.addEventListener('input', (event) => {
    if (event.target === total.input) totalIsWritten = total.input.value.trim() !== '';
    refresh();
  });
  // Enter in a field submits; the button handles its own click.
  form.addEventListener('submit', (event) => event.preventDefault());

  for (const product of DEFAULTS.products) addProduct(product, false);
  refresh();
  return form;

  function values() {
    return {
      orderId: orderId.input.value,
      total: total.input.value,
      currency: currency.input.value,
      products: products.map(({ name, price }) => ({ name: name.input.value, price: price.input.value })),
    };
  }

  function refresh() {
    if (!totalIsWritten) {
      const added = sum(values().products);
      if (added !== null) total.input.value = products.length === 0 ? '' : added;
    }
    add.disabled = products.length >= MAX_PRODUCTS;
    shell.update(formCommands(bodyOf(values()), send.checked));
  }

  function addProduct({ name, price }, focus) {
    const product = {
      name: field({ label: 'Name', input: h('input', { type: 'text', autocomplete: 'off', value: name }) }),
      price: field({ label: 'Price', input: h('input', { type: 'text', inputmode: 'decimal', autocomplete: 'off', value: price }) }),
    };
    const drop = h('button', { type: 'button', class: 'button quiet icon-button' }, icon('close'));
    product.row = h('li', { class: 'product' }, product.name.element, product.price.element, drop);
    drop.addEventListener('click', () => removeProduct(product));
    products.push(product);
    nameButtons();
    list.append(product.row);
    if (focus) product.name.input.focus();
    refresh();
  }

  function removeProduct(product) {
    const at = products.indexOf(product);
    products.splice(at, 1);
    product.row.remove();
    nameButtons();
    refresh();
    // The focus must not fall back to the start of the page.
    const neighbour = products[Math.min(at, products.length - 1)];
    (neighbour?.row.querySelector('button') ?? add).focus();
  }

  function nameButtons() {
    for (const [at, { row }] of products.entries()) {
      row.querySelector('button').setAttribute('aria-label', `Remove product ${at + 1}`);
    }
  }

  async function submit() {
    const found = faults(values());
    show(found);
    if (found.size > 0) return;
    await onPlace(bodyOf(values()), send.checked);
  }

  function show(found) {
    const fields = [
      ...products.flatMap(({ name, price }, at) => [
        [`name-${at}`, name],
        [`price-${at}`, price],
      ]),
      ['total', total],
      ['currency', currency],
    ];
    let first = null;
    for (const [key, shown] of fields) {
      shown.setError(found.get(key) ?? null);
      if (found.has(key)) first ??= shown;
    }
    first?.input.focus();
  }
}

/** Shows what the ingress answered. */
export function answerLine(children) {
  const element = h('p', { class: 'answer' });
  replace(element, children);
  return element;
}
