//! A system's client: places an order over HTTP, asks again until it has an answer, keeps its journal.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use reqwest::{RequestBuilder, StatusCode};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::journal::{Answer, Entry, Journal};
use crate::watch::Watch;

/// A client gives a request up for unanswered after this.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How often one request is sent at most, and how long between.
const TRIES: usize = 40;
const PAUSE: Duration = Duration::from_millis(500);

/// What is to become of one order.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Unique; also the idempotency key.
    pub(crate) name: String,
    /// Whether the client names the order, or the server does.
    pub(crate) named: bool,
    pub(crate) total: &'static str,
    /// The statuses that it takes one after the other.
    pub(crate) steps: &'static [&'static str],
    /// Whether the client sends what was acknowledged once more.
    pub(crate) repeats: bool,
}

impl Plan {
    /// Whether the order earns a voucher once it is sent.
    fn is_enough(&self) -> bool {
        let total = self.total.parse::<Decimal>();
        total.is_ok_and(|total| total >= Decimal::ONE_HUNDRED)
    }
}

/// The clients of all producers.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    /// Tried in turn.
    producers: Vec<String>,
    journal: Arc<Journal>,
    watch: Arc<Watch>,
}

impl Client {
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

    /// Places the order and changes its status, step by step. One that gets no answer for too long
    /// is left as it is.
    pub(crate) async fn place(&self, plan: &Plan) -> Result<()> {
        let Some(order_id) = self.create(plan).await? else {
            return Ok(());
        };
        if plan.repeats {
            self.create(plan).await?;
        }
        for &status in plan.steps {
            let body = json!({ "status": status });
            let note = |answer, _: &Value| Entry::Change {
                order_id: order_id.clone(),
                status,
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
        if plan.named {
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
            order_id: id(body).or_else(|| plan.named.then(|| plan.name.clone())),
            answer,
        };
        Ok(self.ask(create, note).await?.as_ref().and_then(id))
    }

    /// Sends a request until it is answered; each try is noted. `None`: refused, or never answered.
    async fn ask(
        &self,
        request: impl Fn(&str) -> RequestBuilder,
        note: impl Fn(Answer, &Value) -> Entry,
    ) -> Result<Option<Value>> {
        for attempt in 0..TRIES {
            let first = rand::random_range(0..self.producers.len());
            let base = &self.producers[(first + attempt) % self.producers.len()];
            let (answer, body) = answer(request(base)).await;
            self.journal.note(note(answer, &body))?;
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
        // A success is one only with its whole body.
        Ok(body) if status.is_success() => (Answer::Acknowledged, body),
        _ if status.is_client_error() && status != StatusCode::REQUEST_TIMEOUT => {
            (Answer::Refused, Value::Null)
        }
        _ => (Answer::Unknown, Value::Null),
    }
}
