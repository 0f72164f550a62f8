//! Reads `/readyz`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::flow::{Part, State};

/// Bounds how many parts of one instance are shown. A service has a few parts, and two for each task.
const MAX_PARTS: usize = 200;

/// Bounds the characters of a sentence, which is long if many partitions are blocked.
const MAX_SENTENCE: usize = 1000;

/// The status of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) state: State,
    /// The reason, unless the instance is ready: that of the first of its worst parts, or why it gave
    /// no answer.
    pub(crate) sentence: Option<String>,
    /// Its parts by name.
    pub(crate) parts: Vec<Part>,
}

/// The answer of `runtime::health`.
#[derive(Debug, Deserialize)]
struct Readyz {
    status: String,
    parts: BTreeMap<String, String>,
}

impl Status {
    /// Returns the status of an instance that gave no answer.
    pub(crate) fn unreachable(why: impl Into<String>) -> Self {
        Self {
            state: State::Unreachable,
            sentence: Some(why.into()),
            parts: Vec::new(),
        }
    }

    /// Reads the answer to `/readyz`. The services answer 200 or 503.
    ///
    /// # Errors
    /// When the answer is not that of a service.
    pub(crate) fn read(code: u16, body: &str) -> Result<Self, String> {
        if !matches!(code, 200 | 503) {
            return Err(format!("/readyz answers HTTP status {code}"));
        }
        let Ok(Readyz { status, parts }) = serde_json::from_str(body) else {
            return Err(format!(
                "/readyz answers HTTP status {code} with something else than the states of parts"
            ));
        };
        let parts: Vec<_> = parts.into_iter().take(MAX_PARTS).map(part).collect();
        let worst = parts.iter().map(|part| part.state).max();
        let mut state = worst.unwrap_or(State::Ready);
        let mut sentence = parts
            .iter()
            .find(|part| part.state == state)
            .and_then(|part| Some(format!("{}: {}", part.name, part.sentence.as_ref()?)));
        if status == "shutting down" {
            state = State::NotReady;
            sentence = Some("it is shutting down".to_owned());
        } else if code == 503 && state < State::NotReady {
            state = State::NotReady;
            sentence = Some(shortened(&status));
        }
        Ok(Self {
            state,
            sentence,
            parts,
        })
    }

    /// Reports that the numbers are missing, unless `/readyz` already reported a state as bad or worse.
    pub(super) fn without_numbers(mut self, why: String) -> Self {
        if self.state < State::Degraded {
            self.state = State::Degraded;
            self.sentence = Some(why);
        }
        self
    }
}

fn part((name, text): (String, String)) -> Part {
    let (state, sentence) = match text.split_once(": ") {
        Some(("not ready", why)) => (State::NotReady, Some(shortened(why))),
        Some(("degraded", why)) => (State::Degraded, Some(shortened(why))),
        _ if text == "ready" => (State::Ready, None),
        _ => (State::NotReady, Some(shortened(&text))),
    };
    Part {
        name: shortened(&name),
        state,
        sentence,
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(MAX_SENTENCE) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::examples::READY;
    use super::*;

    #[test]
    fn an_instance_is_ready_when_its_parts_are() {
        let status = Status::read(200, READY).unwrap();
        assert_eq!(status.state, State::Ready);
        assert_eq!(status.sentence, None);
        let names: Vec<_> = status.parts.iter().map(|part| &*part.name).collect();
        assert_eq!(names, ["kafka", "registry-0", "task-0"]);
    }

    #[test]
    fn an_instance_is_as_its_worst_part_is_and_says_its_sentence() {
        let body = r#"{"parts":{"backlog":"ready","postgres":"not ready: Postgres does not answer: connection refused","relay":"degraded: waiting for Kafka"},"status":"not ready"}"#;
        let status = Status::read(503, body).unwrap();
        assert_eq!(status.state, State::NotReady);
        assert_eq!(
            status.sentence.as_deref(),
            Some("postgres: Postgres does not answer: connection refused")
        );
        assert_eq!(status.parts[2].state, State::Degraded);
        assert_eq!(
            status.parts[2].sentence.as_deref(),
            Some("waiting for Kafka")
        );
    }

    #[test]
    fn a_degraded_part_leaves_the_instance_reachable_and_degraded() {
        let body = r#"{"parts":{"relay":"degraded: waiting for Kafka"},"status":"ready"}"#;
        let status = Status::read(200, body).unwrap();
        assert_eq!(status.state, State::Degraded);
    }

    #[test]
    fn an_instance_that_shuts_down_is_not_ready() {
        let body = r#"{"parts":{"task-0":"ready"},"status":"shutting down"}"#;
        let status = Status::read(503, body).unwrap();
        assert_eq!(status.state, State::NotReady);
        assert_eq!(status.sentence.as_deref(), Some("it is shutting down"));
    }

    #[test]
    fn answers_of_others_are_refused() {
        for (code, body, why) in [
            (404, "", "HTTP status 404"),
            (200, "<html>", "something else"),
            (503, "upstream connect error", "HTTP status 503"),
            (200, r#"{"status":"ready"}"#, "something else"),
        ] {
            let error = Status::read(code, body).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_long_sentence_is_shortened_at_a_character() {
        let body = format!(
            r#"{{"parts":{{"task-0":"not ready: {}"}},"status":"not ready"}}"#,
            "ä".repeat(5000)
        );
        let status = Status::read(503, &body).unwrap();
        let sentence = status.parts[0].sentence.clone().unwrap();
        assert_eq!(sentence.chars().count(), MAX_SENTENCE + 3);
    }

    #[test]
    fn an_instance_without_numbers_is_degraded_and_a_worse_state_stays() {
        let ready = Status::read(200, READY).unwrap();
        let status = ready.without_numbers("/metrics answers HTTP status 404".to_owned());
        assert_eq!(status.state, State::Degraded);
        let away = Status::unreachable("connection refused");
        let status = away.without_numbers("connection refused".to_owned());
        assert_eq!(status.state, State::Unreachable);
    }
}
