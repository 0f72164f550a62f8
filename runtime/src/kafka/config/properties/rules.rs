//! Values and combinations of properties that librdkafka accepts silently, and that would not do what
//! they say.

use super::UserProperties;
use super::names::{NO_AWS_IAM, NO_KERBEROS, NO_OAUTH};

/// Properties with tighter bounds than librdkafka's: name, least, most, and the reason.
const BOUNDS: &[(&str, i64, i64, &str)] = &[
    (
        "transaction.timeout.ms",
        1000,
        10_000,
        "a crashed instance hides later vouchers from readers for that long",
    ),
    (
        "message.timeout.ms",
        1,
        10_000,
        "a record that is not delivered by then is written again in another transaction",
    ),
    (
        "topic.metadata.refresh.interval.ms",
        1,
        3_600_000,
        "otherwise partitions that are added later would never be read",
    ),
    ("fetch.wait.max.ms", 0, 5000, BLOCKED),
    ("fetch.error.backoff.ms", 0, 5000, BLOCKED),
    ("fetch.queue.backoff.ms", 0, 5000, BLOCKED),
    ("retry.backoff.ms", 1, 5000, ABANDONED),
    ("retry.backoff.max.ms", 1, 5000, ABANDONED),
    (
        "reconnect.backoff.max.ms",
        0,
        60_000,
        "the client has to find a broker that is back",
    ),
];

const BLOCKED: &str = "a partition that brings no records for 10 s is reported as blocked";

const ABANDONED: &str = "a call that does not return within seconds is abandoned";

/// Checks what librdkafka does not check.
///
/// # Errors
/// What is wrong and what to write, without any value that may be a secret.
pub(super) fn check(properties: &UserProperties) -> Result<(), String> {
    bounds(properties)?;
    heartbeat(properties)?;
    security(properties)?;
    pairs(properties)
}

fn bounds(properties: &UserProperties) -> Result<(), String> {
    for (name, least, most, why) in BOUNDS {
        let number = properties
            .get(name)
            .and_then(|value| value.parse::<i64>().ok());
        // librdkafka refuses what is not a number.
        if number.is_some_and(|number| !(*least..=*most).contains(&number)) {
            return Err(format!("{name}: write {least} to {most}; {why}"));
        }
    }
    Ok(())
}

fn heartbeat(properties: &UserProperties) -> Result<(), String> {
    let millis = |name, ours| match properties.get(name) {
        Some(value) => value.parse::<u64>().ok(),
        None => Some(ours),
    };
    let (heartbeat, session) = (
        millis("heartbeat.interval.ms", super::HEARTBEAT_MILLIS),
        millis("session.timeout.ms", super::SESSION_MILLIS),
    );
    match (heartbeat, session) {
        (Some(heartbeat), Some(session)) if heartbeat >= session => Err(format!(
            "heartbeat.interval.ms ({heartbeat}) must be less than session.timeout.ms ({session}), \
             and best a third of it; otherwise the group keeps losing its members"
        )),
        _ => Ok(()),
    }
}

fn security(properties: &UserProperties) -> Result<(), String> {
    let protocol = properties.get("security.protocol").map(str::to_lowercase);
    let (tls, sasl) = match protocol.as_deref() {
        None | Some("plaintext") => (false, false),
        Some("ssl") => (true, false),
        Some("sasl_plaintext") => (false, true),
        Some("sasl_ssl") => (true, true),
        Some(_) => {
            return Err(
                "security.protocol: write PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL".to_owned(),
            );
        }
    };
    mechanism(properties, sasl)?;
    if !sasl && let Some(name) = properties.first(|name| name.starts_with("sasl.")) {
        return Err(format!(
            "{name} is set, but the client would not log in: write security.protocol=SASL_SSL (or \
             SASL_PLAINTEXT) as well"
        ));
    }
    let is_tls =
        |name: &str| name.starts_with("ssl.") || name == "enable.ssl.certificate.verification";
    if !tls && let Some(name) = properties.first(is_tls) {
        return Err(format!(
            "{name} is set, but the client would not use TLS: write security.protocol=SSL or SASL_SSL \
             as well"
        ));
    }
    Ok(())
}

fn mechanism(properties: &UserProperties, sasl: bool) -> Result<(), String> {
    match properties.get("sasl.mechanism") {
        Some("PLAIN" | "SCRAM-SHA-256" | "SCRAM-SHA-512") => {}
        Some("OAUTHBEARER") => return Err(format!("sasl.mechanism: {NO_OAUTH}")),
        Some("GSSAPI") => return Err(format!("sasl.mechanism: {NO_KERBEROS}")),
        Some("AWS_MSK_IAM") => return Err(format!("sasl.mechanism: {NO_AWS_IAM}")),
        None if !sasl => return Ok(()),
        _ => {
            return Err(
                "sasl.mechanism: write PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, in capitals"
                    .to_owned(),
            );
        }
    }
    for name in ["sasl.username", "sasl.password"] {
        if properties.get(name).is_none() {
            return Err(format!(
                "sasl.mechanism is set without {name}: write {name} as well"
            ));
        }
    }
    Ok(())
}

/// Refuses a client certificate without its key and a key without its certificate, neither of which
/// would be used.
fn pairs(properties: &UserProperties) -> Result<(), String> {
    const CERTIFICATE: [&str; 2] = ["ssl.certificate.location", "ssl.certificate.pem"];
    const KEY: [&str; 2] = ["ssl.key.location", "ssl.key.pem"];
    let set = |names: [&'static str; 2]| {
        names
            .into_iter()
            .find(|name| properties.get(name).is_some())
    };
    match (set(CERTIFICATE), set(KEY)) {
        (Some(certificate), None) => Err(format!(
            "{certificate} is set without its key: write ssl.key.location (or ssl.key.pem) as well"
        )),
        (None, Some(key)) => Err(format!(
            "{key} is set without its certificate: write ssl.certificate.location (or \
             ssl.certificate.pem) as well"
        )),
        _ => Ok(()),
    }
}
