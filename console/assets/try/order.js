// The order of the form: sums, the body that is sent, and the command that does the same. Pure.

/** What the form begins with: an order that earns a voucher by the rule that a new installation has. */
export const DEFAULTS = {
  orderId: '',
  currency: 'EUR',
  products: [
    { name: 'Walking boots', price: '89.90' },
    { name: 'Wool socks', price: '30.10' },
  ],
};

/** The ingress takes at most this many products. */
export const MAX_PRODUCTS = 500;

const MONEY = /^\d{1,15}(?:\.\d{1,2})?$/;

/** Returns whether a text is an amount as the ingress takes it: digits, and at most two decimals. */
export function isMoney(text) {
  return MONEY.test(text.trim());
}

/** Returns the sum of the products' prices as a text, or null when one of them is no amount. */
export function sum(products) {
  let cents = 0n;
  for (const { price } of products) {
    if (!isMoney(price)) return null;
    const [whole, fraction = ''] = price.trim().split('.');
    cents += BigInt(whole) * 100n + BigInt(fraction.padEnd(2, '0'));
  }
  const text = cents.toString().padStart(3, '0');
  return `${text.slice(0, -2)}.${text.slice(-2)}`;
}

/**
 * Returns the faults of a form by field, empty when there is none. The ingress decides; these are only
 * the faults that can be told without asking it.
 *
 * @param {{orderId: string, total: string, currency: string, products: Array<{name, price}>}} form
 * @returns {Map<string, string>} "total", "currency", "name-0", "price-0", ... -> what to do
 */
export function faults(form) {
  const found = new Map();
  if (!isMoney(form.total)) found.set('total', 'Write an amount such as 120.00: digits, and at most two decimals.');
  if (form.currency.trim() !== '' && !/^[A-Za-z]{3}$/.test(form.currency.trim())) {
    found.set('currency', 'Write three letters, such as EUR.');
  }
  for (const [at, { name, price }] of form.products.entries()) {
    if (name.trim() === '') found.set(`name-${at}`, 'Write a name, or remove the product.');
    if (!isMoney(price)) found.set(`price-${at}`, 'Write a price such as 89.90.');
  }
  return found;
}

/** Returns the body of `POST /orders`. What is left empty is left out: the ingress has a default for it. */
export function bodyOf(form) {
  const body = {};
  const orderId = form.orderId.trim();
  if (orderId !== '') body.order_id = orderId;
  body.total = form.total.trim();
  const currency = form.currency.trim().toUpperCase();
  if (currency !== '') body.currency = currency;
  if (form.products.length > 0) {
    body.products = form.products.map(({ name, price }) => ({ name: name.trim(), price: price.trim() }));
  }
  return body;
}

/** Returns the command that places the same order. The address is the one that the local stack exports. */
export function placeCommand(body) {
  return `curl -i "http://$PRODUCER_HTTP_ADDR/orders" -H 'content-type: application/json' -d ${quoted(JSON.stringify(body))}`;
}

/** Returns the command that sets an order to SENT. */
export function sendCommand(orderId) {
  const path = encodeURIComponent(orderId);
  return `curl -X PATCH "http://$PRODUCER_HTTP_ADDR/orders/${path}" -H 'content-type: application/json' -d '{"status":"SENT"}'`;
}

/** Returns the commands that do what the form does. Without an id, the one that the ingress answers is to be put in. */
export function formCommands(body, send) {
  const place = placeCommand(body);
  return send ? `${place}\n${sendCommand(body.order_id ?? 'ORDER_ID')}` : place;
}

function quoted(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
