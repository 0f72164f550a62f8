// What the console knows about an order, for tests that count.

/** Returns how many voucher records an order has, and how many of them are the voucher itself. */
export async function vouchersOf(page, id) {
  return page.evaluate(async (order) => {
    const answer = await fetch(`/api/orders/${order}`);
    const { vouchers } = await answer.json();
    return { all: vouchers.length, own: vouchers.filter(({ role }) => role === 'voucher').length };
  }, id);
}
