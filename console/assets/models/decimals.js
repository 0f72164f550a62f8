// Sums of money without binary floats: decimals as texts in, texts out.

const DECIMAL = /^(-?)(\d+)(?:\.(\d+))?$/;

/** ("600.50", "400") -> "200.50"; null when one of them is no decimal. */
export function difference(left, right) {
  const [a, b] = [parse(left), parse(right)];
  if (!a || !b) return null;
  const scale = Math.max(a.scale, b.scale);
  return format(scaled(a, scale) - scaled(b, scale), scale);
}

/** (["0.10", "5"]) -> "5.10"; null when one of them is no decimal. */
export function sum(texts) {
  const terms = texts.map(parse);
  if (terms.includes(null)) return null;
  const scale = Math.max(0, ...terms.map((term) => term.scale));
  return format(
    terms.reduce((units, term) => units + scaled(term, scale), 0n),
    scale,
  );
}

function parse(text) {
  const match = DECIMAL.exec(String(text));
  if (!match) return null;
  const [, sign, whole, fraction = ''] = match;
  return { units: BigInt(`${sign}${whole}${fraction}`), scale: fraction.length };
}

function scaled({ units, scale }, wanted) {
  return units * 10n ** BigInt(wanted - scale);
}

function format(units, scale) {
  const digits = String(units < 0n ? -units : units).padStart(scale + 1, '0');
  const whole = digits.slice(0, digits.length - scale);
  const fraction = scale === 0 ? '' : `.${digits.slice(-scale)}`;
  return `${units < 0n ? '-' : ''}${whole}${fraction}`;
}
