//! What the ingress does when another session changes the same order, or when its connection is lost:
//! changes that one statement cannot settle are settled by a transaction with locked rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use end_to_end::backends::own_backends;
use end_to_end::http::metric;
use end_to_end::system::{TestSystem, ready};
use end_to_end::topic::Record;
use end_to_end::wait;
use futures::future::{join, join_all};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use stack::Service;

/// A request in flight.
type Asked = tokio::task::JoinHandle<reqwest::Result<Response>>;

thread_local! {
    /// One client for each test, which has a thread of its own, because creating a client is slow.
    static CLIENT: Client = Client::new();
}

fn ask(producer: &Service, method: Method, path: &str, body: Value) -> Asked {
    let client = CLIENT.with(Client::clone);
    let request = client.request(method, producer.url(path)).json(&body);
    tokio::spawn(request.send())
}

fn place(producer: &Service, order_id: &str) -> Asked {
    let order = json!({"order_id": order_id, "total": "100.00"});
    ask(producer, Method::POST, "/orders", order)
}

fn change(producer: &Service, order_id: &str, status: &str) -> Asked {
    let path = format!("/orders/{order_id}");
    ask(producer, Method::PATCH, &path, json!({"status": status}))
}

/// Returns the status of the answer, and the order's version if the answer has one.
async fn answered(asked: Asked) -> Result<(u16, Option<i64>)> {
    let answer = asked.await??;
    let status = answer.status().as_u16();
    let body: Value = answer.json().await?;
    Ok((status, body["version"].as_i64()))
}

/// Opens a transaction in another session and executes a statement in it.
async fn other(system: &TestSystem, statement: String) -> Result<PgConnection> {
    let mut other = PgConnection::connect(&system.orders_url).await?;
    sqlx::raw_sql("BEGIN").execute(&mut other).await?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
        .execute(&mut other)
        .await?;
    Ok(other)
}

async fn end(mut other: PgConnection, how: &'static str) -> Result<()> {
    sqlx::raw_sql(how).execute(&mut other).await?;
    Ok(other.close().await?)
}

/// Returns a statement that changes an order to this version, as another writer would.
fn to_version(order_id: &str, version: i64, status: &str) -> String {
    format!(
        "UPDATE orders SET version = {version}, status = '{status}', updated_at = now()
         WHERE order_id = '{order_id}'"
    )
}

/// Waits until the writer's session waits for `what` (a wait event or its type), and returns the session's
/// process id.
async fn waiting_writer(system: &TestSystem, what: &'static str) -> Result<i32> {
    let mut eye = PgConnection::connect(&system.orders_url).await?;
    let eye = tokio::sync::Mutex::new(&mut eye);
    let found = wait::until(
        &format!("a writer that waits for {what}"),
        || async {
            let asked = sqlx::query_scalar(
                "SELECT pid FROM pg_stat_activity
                 WHERE datname = current_database() AND application_name = 'producer'
                   AND $1 IN (wait_event_type, wait_event)",
            );
            let mut eye = eye.lock().await;
            asked.bind(what).fetch_optional(&mut **eye).await.ok()?
        },
        Option::is_some,
    )
    .await;
    found.context("its process id")
}

/// Waits until a change was set aside because of another session's lock.
async fn until_locked(producer: &Service) {
    let locked = || async {
        let count = metric(producer, "checkout_producer_locked_changes", "").await;
        count.unwrap_or_default()
    };
    wait::until("a change that waits for a lock", locked, |count| {
        *count == 1
    })
    .await;
}

/// Waits until a group could not be written and will be tried again.
async fn until_held_up(producer: &Service) {
    let failed = || async {
        let count = metric(
            producer,
            "checkout_producer_groups_total",
            "outcome=\"failed\"",
        )
        .await;
        count.unwrap_or_default()
    };
    wait::until("a group that is held up", failed, |count| *count > 0).await;
}

async fn run(system: &TestSystem, statements: String) -> Result<()> {
    let mut session = PgConnection::connect(&system.orders_url).await?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements))
        .execute(&mut session)
        .await?;
    Ok(session.close().await?)
}

/// Delays each of the writer's changes of orders by `seconds` seconds before it locks any row.
async fn slow_down_writers(system: &TestSystem, seconds: &str) -> Result<()> {
    let function = format!(
        "CREATE OR REPLACE FUNCTION slow_down() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF current_setting('application_name') = 'producer' THEN
                 PERFORM pg_sleep({seconds});
             END IF;
             RETURN NULL;
         END $$"
    );
    run(system, function).await
}

async fn end_session(system: &TestSystem, session: i32) -> Result<()> {
    let mut eye = PgConnection::connect(&system.orders_url).await?;
    sqlx::query("SELECT pg_terminate_backend($1, 5000)")
        .bind(session)
        .execute(&mut eye)
        .await?;
    Ok(eye.close().await?)
}

/// Waits for `count` records, and returns the versions of each order's records.
async fn versions(system: &TestSystem, count: usize) -> Result<BTreeMap<String, Vec<i64>>> {
    let read = || async { system.order_records().await.unwrap_or_default() };
    let what = format!("{count} records");
    let records = wait::until(&what, read, |found: &Vec<Record>| found.len() >= count).await;
    let mut versions = BTreeMap::<String, Vec<i64>>::new();
    for record in records {
        let version = record.json()["version"].as_i64().context("a version")?;
        versions.entry(record.key_text()).or_default().push(version);
    }
    Ok(versions)
}

fn expected(orders: &[(&str, &[i64])]) -> BTreeMap<String, Vec<i64>> {
    let orders = orders.iter();
    orders
        .map(|(order_id, versions)| ((*order_id).to_owned(), versions.to_vec()))
        .collect()
}

#[tokio::test]
async fn a_change_that_is_overtaken_is_decided_anew() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let producer = system.producer().await?;
    for (order_id, theirs, answer) in [
        ("cancelled-meanwhile", Some("CANCELLED"), (409, None)),
        ("touched-meanwhile", Some("PENDING"), (200, Some(3))),
        ("left-alone", None, (200, Some(2))),
    ] {
        assert_eq!(answered(place(&producer, order_id)).await?.0, 201);
        let status = theirs.unwrap_or("CANCELLED");
        let theirs_too = other(&system, to_version(order_id, 2, status)).await?;
        let ours = change(&producer, order_id, "SENT");
        until_locked(&producer).await;
        let how = if theirs.is_some() {
            "COMMIT"
        } else {
            "ROLLBACK"
        };
        end(theirs_too, how).await?;
        assert_eq!(answered(ours).await?, answer, "{order_id}");
    }
    let orders: [(&str, &[i64]); 3] = [
        ("cancelled-meanwhile", &[1]),
        ("touched-meanwhile", &[1, 3]),
        ("left-alone", &[1, 2]),
    ];
    assert_eq!(versions(&system, 5).await?, expected(&orders));
    Ok(())
}

#[tokio::test]
async fn an_id_that_another_takes_first_exists() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let producer = system.producer().await?;
    for (order_id, how, answer) in [("theirs", "COMMIT", 409), ("ours", "ROLLBACK", 201)] {
        let statement = format!(
            "INSERT INTO orders VALUES ('{order_id}', 'PENDING', 1, 'EUR', '[]', 1, NULL, now(), now())"
        );
        let theirs = other(&system, statement).await?;
        let asked = place(&producer, order_id);
        until_locked(&producer).await;
        end(theirs, how).await?;
        assert_eq!(answered(asked).await?.0, answer, "{order_id}");
    }
    assert_eq!(versions(&system, 1).await?, expected(&[("ours", &[1])]));
    Ok(())
}

#[tokio::test]
async fn after_a_lost_connection_the_locked_row_decides_the_answer() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let producer = system.producer().await?;
    slow_down_writers(&system, "0").await?;
    let trigger = "CREATE TRIGGER slow_down BEFORE UPDATE ON orders
                   FOR EACH STATEMENT EXECUTE FUNCTION slow_down()";
    run(&system, trigger.to_owned()).await?;
    for (order_id, theirs, answer) in [
        ("not-arrived", None, (200, Some(2))),
        ("another-was-there", Some((2, "CANCELLED")), (409, None)),
        ("nobody-can-tell", Some((3, "CANCELLED")), (503, None)),
    ] {
        assert_eq!(answered(place(&producer, order_id)).await?.0, 201);
        let (version, status) = theirs.unwrap_or((2, "CANCELLED"));
        slow_down_writers(&system, "1.8").await?;
        let ours = change(&producer, order_id, "SENT");
        let writer = waiting_writer(&system, "PgSleep").await?;
        let held = other(&system, to_version(order_id, version, status)).await?;
        slow_down_writers(&system, "0").await?;
        end_session(&system, writer).await?;
        until_locked(&producer).await;
        let how = if theirs.is_some() {
            "COMMIT"
        } else {
            "ROLLBACK"
        };
        end(held, how).await?;
        assert_eq!(answered(ours).await?, answer, "{order_id}");
    }
    assert_eq!(versions(&system, 4).await?["not-arrived"], [1, 2]);
    Ok(())
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_answered_by_its_effect() -> Result<()> {
    // A commit that waits for a missing synchronous standby is durable, but never acknowledged.
    let system = TestSystem::on(Arc::new(own_backends("contention").await), false).await?;
    let producer = system.producer().await?;
    let configure = async |setting: &'static str| {
        let mut eye = PgConnection::connect(&system.orders_url).await?;
        sqlx::query(setting).execute(&mut eye).await?;
        sqlx::query("SELECT pg_reload_conf()")
            .execute(&mut eye)
            .await?;
        anyhow::Ok(eye.close().await?)
    };
    assert_eq!(answered(place(&producer, "changed")).await?.0, 201);
    let placed = || place(&producer, "placed");
    let sent = || change(&producer, "changed", "SENT");
    for (asked, answer) in [
        (&placed as &dyn Fn() -> Asked, (201, Some(1))),
        (&sent, (200, Some(2))),
    ] {
        configure("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await?;
        let asked = asked();
        let session = waiting_writer(&system, "SyncRep").await?;
        end_session(&system, session).await?;
        configure("ALTER SYSTEM RESET synchronous_standby_names").await?;
        assert_eq!(answered(asked).await?, answer);
    }
    let orders: [(&str, &[i64]); 2] = [("placed", &[1]), ("changed", &[1, 2])];
    assert_eq!(versions(&system, 3).await?, expected(&orders));
    Ok(())
}

#[tokio::test]
async fn two_producers_at_the_same_orders_make_one_history_of_each() -> Result<()> {
    let system = TestSystem::open_json().await?;
    let one = system.producer().await?;
    let two = ready(system.producer_command("2").await?).await?;
    let ids: Vec<String> = (0..40)
        .map(|number| format!("contended-{number:02}"))
        .collect();
    // The two producers get the orders in opposite directions, so that their groups conflict on many
    // orders.
    let both = async |here: &(dyn Fn(&Service, &str) -> Asked + Sync),
                      there: &(dyn Fn(&Service, &str) -> Asked + Sync)| {
        let forth: Vec<Asked> = ids.iter().map(|id| here(&one, id)).collect();
        let back: Vec<Asked> = ids.iter().rev().map(|id| there(&two, id)).collect();
        let answers = |asked: Vec<Asked>| join_all(asked.into_iter().map(answered));
        let (forth, back) = join(answers(forth), answers(back)).await;
        let forth = forth.into_iter().collect::<Result<Vec<_>>>()?;
        let back = back.into_iter().collect::<Result<Vec<_>>>()?;
        anyhow::Ok(forth.into_iter().zip(back.into_iter().rev()))
    };
    for (here, there) in both(&place, &place).await? {
        let mut statuses = [here.0, there.0];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409]);
    }
    let sent = |producer: &Service, id: &str| change(producer, id, "SENT");
    for answers in both(&sent, &sent).await? {
        assert_eq!(answers, ((200, Some(2)), (200, Some(2))));
    }
    let delivered = |producer: &Service, id: &str| change(producer, id, "DELIVERED");
    let cancelled = |producer: &Service, id: &str| change(producer, id, "CANCELLED");
    for (here, there) in both(&delivered, &cancelled).await? {
        let mut answers = [here, there];
        answers.sort_unstable();
        assert_eq!(answers, [(200, Some(3)), (409, None)]);
    }
    let each: Vec<(&str, &[i64])> = ids.iter().map(|id| (id.as_str(), &[1, 2, 3][..])).collect();
    assert_eq!(versions(&system, 3 * ids.len()).await?, expected(&each));
    Ok(())
}

#[tokio::test]
async fn a_number_that_somebody_names_is_not_given_to_another_order() -> Result<()> {
    const EACH: usize = 30;
    let system = TestSystem::open_json().await?;
    let producer = ready(
        system
            .producer_command("1")
            .await?
            .env("ORDER_WRITERS", "1"),
    )
    .await?;
    // The lock holds the writer up, so that the requests that arrive meanwhile form one group.
    let theirs = other(&system, "LOCK TABLE orders IN SHARE MODE".to_owned()).await?;
    let held = place(&producer, "held");
    until_held_up(&producer).await;
    // Clients choose the first numbers of the sequence as ids, while other orders get theirs from the
    // sequence.
    let named: Vec<Asked> = (1..=EACH)
        .map(|id| place(&producer, &id.to_string()))
        .collect();
    let numbered: Vec<Asked> = (1..=EACH)
        .map(|_| {
            let order = json!({"total": 150, "products": []});
            ask(&producer, Method::POST, "/order/create", order)
        })
        .collect();
    end(theirs, "COMMIT").await?;
    assert_eq!(answered(held).await?.0, 201);

    let mut placed = vec!["held".to_owned()];
    for (id, asked) in (1..).zip(named) {
        match answered(asked).await?.0 {
            201 => placed.push(id.to_string()),
            status => assert_eq!(status, 409, "{id}"),
        }
    }
    for asked in numbered {
        let order: Value = asked.await??.error_for_status()?.json().await?;
        placed.push(order["id"].to_string());
    }
    let each: Vec<(&str, &[i64])> = placed.iter().map(|id| (id.as_str(), &[1][..])).collect();
    // Every answer names a distinct order, which has one event.
    assert_eq!(versions(&system, placed.len()).await?, expected(&each));
    assert_eq!(expected(&each).len(), placed.len());
    Ok(())
}
