//! All SQL of the ingress. No other module knows the columns of its tables.
//!
//! One statement does one step for a whole group of changes: arrays in, rows out. Postgres pads arrays
//! of unequal length with NULL and reports nothing, so the arrays of a statement are filled in one pass
//! over the same rows.
//!
//! | module | subject |
//! |---|---|
//! | `orders` | `orders`, and the rows of `outbox` that are written with them |
//! | `order_ids` | the sequences of the old routes |
//! | `idempotency_keys` | answers that are stored under idempotency keys |
//! | `outbox` | how many events wait, and since when (the relay reads and deletes them) |
//! | `session` | the settings of the writers' sessions and transactions |

pub(crate) mod idempotency_keys;
pub(crate) mod order_ids;
pub(crate) mod orders;
pub(crate) mod outbox;
pub(crate) mod session;

use runtime::postgres::WriteProbe;

/// Probes every kind of write that the writers and the relay make. The id of the probe's order begins
/// with a control character, so no client can send it.
pub(crate) const WRITES: WriteProbe = WriteProbe(&[
    "INSERT INTO orders (order_id, status, total, currency, products, version, created_at, updated_at)
     VALUES (E'\\x01probe', 'PENDING', 0, 'EUR', '[]', 1, now(), now())
     ON CONFLICT (order_id) DO NOTHING",
    "UPDATE orders SET version = version WHERE order_id = E'\\x01probe'",
    "INSERT INTO outbox (order_id, version, status, total, currency, occurred_at)
     VALUES (E'\\x01probe', 1, 'PENDING', 0, 'EUR', now())",
    "DELETE FROM outbox WHERE id < 0",
    "INSERT INTO idempotency_keys (api_key_id, key, request_hash, status, body, created_at)
     VALUES (E'\\x01probe', '', '', 0, '', now())
     ON CONFLICT (api_key_id, key) DO NOTHING",
]);
