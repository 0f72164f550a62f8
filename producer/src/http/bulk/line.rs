//! One line of a bulk request, and its result.

use axum::body::Bytes;
use runtime::trace_context::TraceParent;
use schemas::Currency;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::super::answers::Answer;
use super::super::auth::Caller;
use super::super::idempotency::{KEY_RULE, claim_of, key};
use super::super::json;
use super::super::problem::{Problem, ProblemDetails};
use super::super::requests::{PlaceBody, StatusBody, order_id};
use crate::ingress::{Action, Change, Precondition};
use crate::orders::Order;

/// What became of a line.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BulkResult<'a> {
    /// The line's number, from 1.
    line: u64,
    /// As the status of a single request.
    #[schema(example = 201)]
    status: u16,
    /// The order, where it was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Order>)]
    order: Option<&'a RawValue>,
    /// Whether the same line was done before under its idempotency key.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    replayed: bool,
    /// Why it was not done.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<ProblemDetails>,
}

/// The fields of a line that the body of a single request does not have.
#[derive(Debug, Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    op: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow)]
    order_id: Option<&'a RawValue>,
    #[serde(borrow)]
    if_match: Option<&'a RawValue>,
    #[serde(borrow)]
    idempotency_key: Option<&'a RawValue>,
}

/// The operation that a line asks for.
enum Op {
    Create,
    Status,
}

impl Head<'_> {
    fn op(&self) -> Result<Op, Problem> {
        let Some(op) = self.op else {
            return Ok(if self.status.is_some() {
                Op::Status
            } else {
                Op::Create
            });
        };
        match json::text("op", op)?.as_str() {
            "create" => Ok(Op::Create),
            "status" => Ok(Op::Status),
            _ => Err(Problem::Invalid(
                "op must be \"create\" or \"status\"".to_owned(),
            )),
        }
    }

    /// Returns the version on which a change may build: a number or an ETag, `"*"` for any.
    fn precondition(&self) -> Result<Option<Precondition>, Problem> {
        let Some(value) = self.if_match else {
            return Ok(None);
        };
        let wrong =
            || Problem::Invalid("if_match must be a version, such as 1, or \"*\"".to_owned());
        let text = if value.get().starts_with('"') {
            json::text("if_match", value)?
        } else {
            value.get().to_owned()
        };
        if text == "*" {
            return Ok(Some(Precondition::Any));
        }
        let version = text.trim_matches('"').parse().map_err(|_| wrong())?;
        Ok(Some(Precondition::Versions(vec![version])))
    }
}

/// Returns the change that a line asks for.
///
/// # Errors
/// 400 for a line that is not JSON, 422 for one that is not a change.
pub(crate) fn change(
    line: &[u8],
    caller: &Caller,
    trace: TraceParent,
    default_currency: Currency,
) -> Result<Change, Problem> {
    let head: Head<'_> = json::object(line)?;
    let action = match head.op()? {
        Op::Create => {
            let body: PlaceBody<'_> = json::object(line)?;
            Action::Place(body.new_order(default_currency)?)
        }
        Op::Status => {
            let body: StatusBody<'_> = json::object(line)?;
            let id = head
                .order_id
                .ok_or_else(|| Problem::Invalid("order_id is missing".to_owned()))?;
            Action::SetStatus {
                order_id: order_id(id)?,
                wanted: body.wanted()?,
                precondition: head.precondition()?,
            }
        }
    };
    let claim = match head.idempotency_key {
        None => None,
        Some(value) => {
            let text = json::text("idempotency_key", value)?;
            let key = key(text.as_bytes())
                .ok_or_else(|| Problem::Invalid(format!("idempotency_key: {KEY_RULE}")))?;
            Some(claim_of(key, caller, &action))
        }
    };
    Ok(Change {
        action,
        claim,
        trace,
    })
}

/// Returns the result of line `number`, as a line.
pub(super) fn result(number: u64, answer: Result<Answer, Problem>) -> Bytes {
    let written = match &answer {
        Ok(answer) => {
            let order: Option<&RawValue> = serde_json::from_slice(&answer.body).ok();
            serde_json::to_vec(&BulkResult {
                line: number,
                status: answer.status.as_u16(),
                order,
                replayed: answer.replayed,
                problem: None,
            })
        }
        Err(problem) => serde_json::to_vec(&BulkResult {
            line: number,
            status: problem.status().as_u16(),
            order: None,
            replayed: false,
            problem: Some(problem.details()),
        }),
    };
    let mut line = written.unwrap_or_default();
    line.push(b'\n');
    line.into()
}

#[cfg(test)]
mod tests {
    use schemas::Status;

    use super::*;
    use crate::ingress::ChangeRefused;

    fn parse(line: &str) -> Result<Change, Problem> {
        change(
            line.as_bytes(),
            &Caller::anyone(),
            TraceParent::random(),
            Currency::EUR,
        )
    }

    #[test]
    fn an_operation_is_named_or_follows_from_the_fields() {
        for line in [
            r#"{"total":1}"#,
            r#"{"op":"create","total":1,"status":"PENDING"}"#,
        ] {
            assert!(matches!(parse(line).unwrap().action, Action::Place(_)));
        }
        for line in [
            r#"{"order_id":17,"status":"sent"}"#,
            r#"{"op":"status","order_id":"17","status":"SENT","if_match":null}"#,
        ] {
            match parse(line).unwrap().action {
                Action::SetStatus {
                    order_id,
                    wanted,
                    precondition,
                } => assert_eq!(
                    (order_id.as_str(), wanted, precondition),
                    ("17", Status::Sent, None)
                ),
                Action::Place(_) => panic!("{line}"),
            }
        }
    }

    #[test]
    fn an_invalid_line_is_a_problem() {
        for (line, status) in [
            ("{", 400),
            ("[]", 422),
            (r#"{"op":"delete"}"#, 422),
            (r#"{"op":"create","total":1,"status":"SENT"}"#, 422),
            (r#"{"status":"SENT"}"#, 422),
            (r#"{"order_id":"a","status":"SENT","if_match":"x"}"#, 422),
            (r#"{"total":1,"idempotency_key":"a b"}"#, 422),
        ] {
            assert_eq!(parse(line).unwrap_err().status().as_u16(), status, "{line}");
        }
    }

    #[test]
    fn a_result_is_one_line() {
        let line = result(7, Err(ChangeRefused::OrderNotFound.into()));
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!((&value["line"], &value["status"]), (&7.into(), &404.into()));
    }
}
