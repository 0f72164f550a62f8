//! Answers that are stored under idempotency keys: a repeated request gets the answer of the first one.

use std::collections::HashMap;

use sqlx::PgConnection;

use super::super::change::{ChangeRefused, Outcome};
use super::entry::{Entry, State, now};
use crate::orders::Order;
use crate::store::idempotency_keys::{self, Claim, NewAnswer, StoredAnswer};

/// Answers the changes whose request was answered before.
pub(super) async fn answer_repeated(
    connection: &mut PgConnection,
    entries: &mut [Entry<'_>],
) -> sqlx::Result<()> {
    let claims: Vec<&Claim> = entries.iter().filter_map(Entry::claim).collect();
    if claims.is_empty() {
        return Ok(());
    }
    let stored: HashMap<(String, String), StoredAnswer> =
        idempotency_keys::find(connection, &claims)
            .await?
            .into_iter()
            .map(|answer| ((answer.api_key_id.clone(), answer.key.clone()), answer))
            .collect();
    for entry in entries {
        let Some(claim) = entry.claim() else {
            continue;
        };
        if let Some(answer) = stored.get(&(claim.api_key_id.clone(), claim.key.clone())) {
            entry.state = State::Answer(Ok(replayed(claim, answer)));
        }
    }
    Ok(())
}

fn replayed(claim: &Claim, answer: &StoredAnswer) -> Outcome {
    if claim.request_hash.as_slice() != answer.request_hash {
        return ChangeRefused::KeyReused.into();
    }
    Outcome::Replayed {
        status: u16::try_from(answer.status).unwrap_or(200),
        body: answer.body.clone(),
    }
}

/// Returns whether a change that is to be refused has a stored answer by now. Another instance may have
/// written the same request while this transaction waited for its rows.
pub(super) async fn was_answered_meanwhile(
    connection: &mut PgConnection,
    entries: &[Entry<'_>],
) -> sqlx::Result<bool> {
    let refused: Vec<&Claim> = entries
        .iter()
        .filter(|entry| entry.is_refused_for_its_order())
        .filter_map(Entry::claim)
        .collect();
    Ok(!refused.is_empty()
        && !idempotency_keys::find(connection, &refused)
            .await?
            .is_empty())
}

/// Stores the answers of this group. Returns false if another transaction has just used one of the keys.
pub(super) async fn store_answers(
    connection: &mut PgConnection,
    entries: &[Entry<'_>],
) -> sqlx::Result<bool> {
    let answers: Vec<NewAnswer<'_>> = entries
        .iter()
        .filter_map(|entry| {
            let claim = entry.claim()?;
            let (status, order) = entry.answer_to_store()?;
            Some(NewAnswer {
                claim,
                status,
                body: order.to_json(),
            })
        })
        .collect();
    if answers.is_empty() {
        return Ok(true);
    }
    let stored = idempotency_keys::insert(connection, &answers, now()).await?;
    Ok(stored == answers.len() as u64)
}

impl Entry<'_> {
    fn claim(&self) -> Option<&Claim> {
        self.job.change.claim.as_ref()
    }

    fn is_refused_for_its_order(&self) -> bool {
        use ChangeRefused::{OrderExists, PreconditionFailed, Transition};
        matches!(
            &self.state,
            State::Answer(Ok(Outcome::Refused(
                OrderExists { .. } | PreconditionFailed { .. } | Transition { .. }
            )))
        )
    }

    /// Returns the answer to be stored under the change's idempotency key. A change that was refused had
    /// no effect, and may be tried again under the same key.
    fn answer_to_store(&self) -> Option<(u16, &Order)> {
        match &self.state {
            State::Write(order) if order.version == 1 => Some((201, order)),
            State::Write(order)
            | State::Answer(Ok(Outcome::Changed(order) | Outcome::Unchanged(order))) => {
                Some((200, order))
            }
            State::Answer(Ok(Outcome::Placed(order))) => Some((201, order)),
            _ => None,
        }
    }
}
