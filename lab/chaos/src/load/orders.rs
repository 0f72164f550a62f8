//! HTTP clients: they place orders, repeat requests until they are answered, and keep a journal.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use reqwest::{RequestBuilder, StatusCode};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::flow::watch::Watch;
use crate::journal::{Answer, Entry, Journal};

/// After this time a request counts as unanswered.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How often one request is sent, and the pause between two attempts.
const MAX_ATTEMPTS: usize = 40;
const PAUSE: Duration = Duration::from_millis(500);

/// What a client does with one order.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Unique: the idempotency key, and the order's id if `has_id`.
    pub(crate) name: String,
    /// Whether the client chooses the order's id, or the server.
    pub(crate) has_id: bool,
    pub(crate) total: &'static str,
    /// The statuses, one after the other.
    pub(crate) statuses: &'static [&'static str],
    /// Whether the client repeats acknowledged requests.
    pub(crate) repeats: bool,
}

impl Plan {
    /// Returns whether the order gets a voucher when it is sent.
    fn is_enough(&self) -> bool {
        let total = self.total.parse::<Decimal>();
        total.is_ok_and(|total| total >= Decimal::ONE_HUNDRED)
    }
}

/// Places orders with all producers.
#[derive(Debug)]
pub(crate) struct Orders {
    http: reqwest::Client,
    /// Tried in turn.
    producers: Vec<String>,
    journal: Arc<Journal>,
    watch: Arc<Watch>,
}

impl Orders {
    pub(crate) fn new(
        producers: Vec<String>,
        journal: Arc<Journal>,
        watch: Arc<Watch>,
    ) -> Result<Self> {
        Ok(Self {
            http: reqwest::Client::builder().timeout(TIMEOUT).build()?,
            producers,
            journal,
            watch,
        })
    }

    /// Places the order and changes its status. Gives up when a request stays unanswered for too
    /// long.
    pub(crate) async fn place(&self, plan: &Plan) -> Result<()> {
        let Some(order_id) = self.create(plan).await? else {
            return Ok(());
        };
        if plan.repeats {
            self.create(plan).await?;
        }
        for &status in plan.statuses {
            let body = json!({ "status": status });
            let note = |answer, _: &Value| Entry::Change {
                order_id: order_id.clone(),
                status: status.to_owned(),
                answer,
            };
            let path = format!("/orders/{order_id}");
            let change = |base: &str| self.http.patch(format!("{base}{path}")).json(&body);
            if self.ask(change, note).await?.is_none() {
                return Ok(());
            }
            if status == "SENT" && plan.is_enough() {
                self.watch.expect(&order_id);
            }
            if plan.repeats {
                self.ask(change, note).await?;
            }
        }
        Ok(())
    }

    async fn create(&self, plan: &Plan) -> Result<Option<String>> {
        let mut body = json!({ "total": plan.total });
        if plan.has_id {
            body["order_id"] = json!(plan.name);
        }
        let create = |base: &str| {
            self.http
                .post(format!("{base}/orders"))
                .header("idempotency-key", &plan.name)
                .json(&body)
        };
        let note = |answer, body: &Value| Entry::Create {
            key: plan.name.clone(),
            order_id: id(body).or_else(|| plan.has_id.then(|| plan.name.clone())),
            answer,
        };
        Ok(self.ask(create, note).await?.as_ref().and_then(id))
    }

    /// Repeats a request until it is answered, and records each attempt in the journal. Returns
    /// `None` if it was refused or never answered.
    async fn ask(
        &self,
        request: impl Fn(&str) -> RequestBuilder,
        note: impl Fn(Answer, &Value) -> Entry,
    ) -> Result<Option<Value>> {
        for attempt in 0..MAX_ATTEMPTS {
            let first = rand::random_range(0..self.producers.len());
            let base = &self.producers[(first + attempt) % self.producers.len()];
            let (answer, body) = answer(request(base)).await;
            self.journal.add(note(answer, &body))?;
            match answer {
                Answer::Acknowledged => return Ok(Some(body)),
                Answer::Refused => return Ok(None),
                Answer::Unknown => tokio::time::sleep(PAUSE).await,
            }
        }
        Ok(None)
    }
}

fn id(order: &Value) -> Option<String> {
    order["order_id"].as_str().map(str::to_owned)
}

async fn answer(request: RequestBuilder) -> (Answer, Value) {
    let Ok(response) = request.send().await else {
        return (Answer::Unknown, Value::Null);
    };
    let status = response.status();
    match response.json::<Value>().await {
        // Without its whole body an answer is no success.
        Ok(body) if status.is_success() => (Answer::Acknowledged, body),
        _ if status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT => {
            (Answer::Refused, Value::Null)
        }
        _ => (Answer::Unknown, Value::Null),
    }
}
