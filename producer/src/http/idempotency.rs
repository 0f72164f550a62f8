//! `Idempotency-Key`: recognizes a request that is repeated.

use axum::http::HeaderMap;
use sha2::{Digest, Sha256};

use super::auth::Caller;
use super::problem::Problem;
use crate::ingress::{Action, Claim, Precondition};
use crate::limits::MAX_IDEMPOTENCY_KEY;

/// The header of a request.
pub(super) const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The header of an answer to a request that was answered before.
pub(super) const IDEMPOTENCY_REPLAYED: &str = "idempotency-replayed";

/// Returns the claim that a request makes on its idempotency key.
///
/// # Errors
/// 400 for an invalid key, or for two of them.
pub(super) fn claim(
    headers: &HeaderMap,
    caller: &Caller,
    action: &Action,
) -> Result<Option<Claim>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(Problem::BadRequest(
            "Idempotency-Key: send it once".to_owned(),
        ));
    }
    let key = key(value.as_bytes())
        .ok_or_else(|| Problem::BadRequest(format!("Idempotency-Key: {KEY_RULE}")))?;
    Ok(Some(claim_of(key, caller, action)))
}

/// What a key must be, for error messages.
pub(super) const KEY_RULE: &str = "write 1 to 255 visible ASCII characters, such as a UUID";

/// Returns these bytes as a key, or `None` if they are not a valid key.
pub(super) fn key(bytes: &[u8]) -> Option<&str> {
    let valid = (1..=MAX_IDEMPOTENCY_KEY).contains(&bytes.len())
        && bytes.iter().all(|byte| byte.is_ascii_graphic());
    valid.then(|| std::str::from_utf8(bytes).ok()).flatten()
}

/// Returns the claim of `action` on `key`.
pub(super) fn claim_of(key: &str, caller: &Caller, action: &Action) -> Claim {
    Claim {
        api_key_id: caller.client.clone(),
        key: key.to_owned(),
        request_hash: request_hash(action),
    }
}

/// Digests the meaning of a request, not its text: another order of fields, white space, or `100.0` for
/// `100` give the same digest. Every part is preceded by its length, so that different parts never give
/// the same bytes.
fn request_hash(action: &Action) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut add = |part: &str| {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    };
    match action {
        Action::Place(order) => {
            add("POST /orders");
            order.for_each_part(add);
        }
        Action::SetStatus {
            order_id,
            wanted,
            precondition,
        } => {
            add("PATCH /orders/");
            add(order_id);
            add(wanted.as_str());
            match precondition {
                None => add("none"),
                Some(Precondition::Any) => add("any"),
                Some(Precondition::Versions(versions)) => {
                    for version in versions {
                        add(&version.to_string());
                    }
                }
            }
        }
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;
    use schemas::{Currency, Status};

    use super::*;
    use crate::orders::{NewOrder, NewProduct, OrderIdSource};

    fn place(id: OrderIdSource, total: Decimal, products: &[&str]) -> Action {
        Action::Place(NewOrder {
            id,
            total,
            currency: Currency::EUR,
            products: products
                .iter()
                .map(|name| NewProduct::new((*name).to_owned(), Decimal::ONE).unwrap())
                .collect(),
        })
    }

    #[test]
    fn another_notation_of_an_amount_is_the_same_request() {
        let one = place(OrderIdSource::Uuid, Decimal::new(100, 0), &[]);
        let other = place(OrderIdSource::Uuid, Decimal::new(10000, 2), &[]);
        assert_eq!(request_hash(&one), request_hash(&other));
    }

    #[test]
    fn every_difference_makes_another_request() {
        let set = |order_id: &str, wanted, precondition| Action::SetStatus {
            order_id: order_id.to_owned(),
            wanted,
            precondition,
        };
        let given = |id: &str| OrderIdSource::Client(id.to_owned());
        let actions = [
            place(OrderIdSource::Uuid, Decimal::ONE, &[]),
            place(OrderIdSource::Uuid, Decimal::TWO, &[]),
            place(given("uuid"), Decimal::ONE, &[]),
            place(given("a"), Decimal::ONE, &[]),
            place(OrderIdSource::Uuid, Decimal::ONE, &["ab", "c"]),
            place(OrderIdSource::Uuid, Decimal::ONE, &["a", "bc"]),
            set("a", Status::Sent, None),
            set("b", Status::Sent, None),
            set("a", Status::Cancelled, None),
            set("a", Status::Sent, Some(Precondition::Any)),
            set("a", Status::Sent, Some(Precondition::Versions(vec![1]))),
        ];
        for (at, one) in actions.iter().enumerate() {
            for other in &actions[..at] {
                assert_ne!(request_hash(one), request_hash(other), "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn digests_stay_the_same_from_version_to_version() {
        let order = place(
            OrderIdSource::Client("17".to_owned()),
            Decimal::ONE,
            &["a", "b"],
        );
        let digest: String = request_hash(&order)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            digest,
            "08763bdc965a5f2fceab99a7071db33b81dd35011988c5f6419e8bb9f39318a9"
        );
    }

    #[test]
    fn a_key_is_visible_ascii() {
        assert_eq!(key(b"a-b_c"), Some("a-b_c"));
        assert_eq!(key(&[b'x'; 255]).map(str::len), Some(255));
        for bad in [&b""[..], b"a b", b"a\x7f", "é".as_bytes(), &[b'x'; 256]] {
            assert_eq!(key(bad), None);
        }
    }
}
