//! The parsers of the HTTP ingress, without the server.

use producer::http::parse::{self, Refused};
use producer::ingress::{Action, Change};
use producer::orders::{NewOrder, OrderIdSource, money_text};
use schemas::{Currency, NewOrderStatus, OrderId, OrderStatus, ValueFormat, decimal};

use crate::script::Script;

const EUR: Currency = Currency::EUR;

/// Chooses a parser by the first byte.
pub(crate) fn http(input: &[u8]) {
    let mut script = Script::new(input);
    match script.below(8) {
        0 => body(script.rest()),
        1 => bulk_line(script.rest()),
        2 => bulk_lines(&mut script),
        3 => header(script.rest()),
        4 => query(&mut script),
        5 => path(script.rest()),
        _ => body(script.rest()),
    }
}

fn body(body: &[u8]) {
    for order in [parse::new_order(body, EUR), parse::old_order(body, EUR)] {
        match order {
            Ok(order) => storable(&order),
            Err(refused) => sound(&refused, &[400, 422]),
        }
    }
    if let Err(refused) = parse::status(body) {
        sound(&refused, &[400, 422]);
    }
    match parse::old_status(body) {
        Ok((order_id, _)) => {
            let number: i64 = order_id.parse().expect("an integer's digits");
            assert_eq!(number.to_string(), order_id);
        }
        Err(refused) => sound(&refused, &[400, 404, 422]),
    }
}

/// Checks that an accepted order can be stored and published.
fn storable(order: &NewOrder) {
    let order_id = match &order.id {
        OrderIdSource::Client(order_id) => order_id,
        OrderIdSource::Uuid | OrderIdSource::Sequence => "17",
    };
    assert!(OrderId::new(order_id).is_ok());
    assert!(decimal::to_unscaled(order.total, 2).is_some());
    assert_eq!(decimal::parse(&money_text(order.total)), Ok(order.total));
    for product in &order.products {
        let product = product.placed(None);
        assert!(!product.name.contains(char::is_control));
        let price = decimal::parse(&product.price).expect("a price in decimals");
        assert!(decimal::to_unscaled(price, 2).is_some());
    }
    let written = NewOrderStatus {
        total: order.total,
        currency: order.currency,
        ..NewOrderStatus::pending(order_id)
    };
    let (mut json, mut avro) = (Vec::new(), Vec::new());
    written.write(ValueFormat::Json, &mut json).expect("JSON");
    written
        .write(ValueFormat::Avro(1), &mut avro)
        .expect("the schema holds every total");
    let read = OrderStatus::read(Some(order_id.as_bytes()), &json, ValueFormat::Json, EUR)
        .expect("a record that was just written");
    assert_eq!((read.total, read.currency), (order.total, order.currency));
}

fn bulk_line(line: &[u8]) {
    match parse::bulk_line(line, EUR) {
        Err(refused) => sound(&refused, &[400, 422]),
        Ok(Change { action, claim, .. }) => {
            match action {
                Action::Place(order) => storable(&order),
                Action::SetStatus { order_id, .. } => assert!(OrderId::new(&order_id).is_ok()),
            }
            if let Some(claim) = claim {
                assert!(claim.key.bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }
}

/// Checks that the boundaries of chunks make no difference, and that no line is longer than it may be.
fn bulk_lines(script: &mut Script<'_>) {
    let longest = script.below(64);
    let first = script.bytes();
    let second = script.bytes();
    let third = script.bytes();
    let whole = [first, second, third].concat();
    let lines = parse::bulk_lines(&[first, second, third], longest);
    assert_eq!(parse::bulk_lines(&[&whole], longest), lines);
    for (_, line) in &lines {
        match line {
            Ok(line) => assert!(line.len() <= longest && !line.contains(&b'\n')),
            Err(refused) => sound(refused, &[413]),
        }
    }
    assert!(lines.windows(2).all(|pair| pair[0].0 < pair[1].0));
}

fn header(value: &[u8]) {
    if let Err(refused) = parse::if_match(value) {
        sound(&refused, &[400]);
    }
    match parse::idempotency_key(value) {
        Ok(key) => assert!(key.bytes().all(|byte| byte.is_ascii_graphic())),
        Err(refused) => sound(&refused, &[400]),
    }
}

fn query(script: &mut Script<'_>) {
    let [status, limit, after] =
        [(); 3].map(|()| script.maybe_bytes().map(String::from_utf8_lossy));
    match parse::list_query(status.as_deref(), limit.as_deref(), after.as_deref()) {
        Err(refused) => sound(&refused, &[400]),
        // The path becomes a header of the answer.
        Ok(next) => assert!(next.bytes().all(|byte| byte.is_ascii_graphic()), "{next:?}"),
    }
}

/// Checks that an id has a path that any header can hold, and that the path leads back to it.
fn path(segment: &[u8]) {
    let text = String::from_utf8_lossy(segment);
    if OrderId::new(&text).is_ok() {
        let path = parse::order_path(&text);
        assert!(path.bytes().all(|byte| byte.is_ascii_graphic()), "{path:?}");
        assert_eq!(parse::path_order(&path), Ok(text.to_string()));
    }
    match parse::path_order(&text) {
        Ok(order_id) => assert!(OrderId::new(&order_id).is_ok()),
        Err(refused) => sound(&refused, &[400, 404]),
    }
}

/// Checks that a refusal is a problem on one line of JSON, and not a server error.
fn sound(refused: &Refused, statuses: &[u16]) {
    assert!(statuses.contains(&refused.status), "{refused:?}");
    let text = std::str::from_utf8(&refused.problem).expect("JSON is UTF-8");
    assert!(!text.bytes().any(|byte| byte < b' '), "{text}");
    let problem: serde_json::Value = serde_json::from_str(text).expect("a problem is JSON");
    assert_eq!(problem["status"], refused.status);
    assert!(
        problem["detail"]
            .as_str()
            .is_some_and(|detail| !detail.is_empty())
    );
}
