//! Which key signs the voucher of an order.
//!
//! The order's `sent_at` selects the key, not the clock: a replay after a key rotation signs an old
//! order with the key of that time, and derives the same code.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use schemas::Timestamp;

use crate::code::SigningKey;

/// The keys in the order in which they come into use; at least one.
#[derive(Debug, Clone)]
pub struct SigningKeys {
    first: SigningKey,
    /// The later keys, each with the time from which it signs, ascending.
    later: Vec<(Timestamp, SigningKey)>,
}

impl SigningKeys {
    /// Parses one key for all orders, as `VOUCHER_SIGNING_KEY` holds it: base64 of at least 32
    /// bytes.
    ///
    /// # Errors
    /// Says what to write instead, without repeating the text.
    pub fn single(text: &str) -> Result<Self, String> {
        Ok(Self {
            first: parse_key(text)?,
            later: Vec::new(),
        })
    }

    /// Parses the lines `FROM KEY` of a file. FROM is a time in RFC 3339, or `-` for the first key;
    /// lines with `#` are comments.
    ///
    /// # Errors
    /// Says what to write instead and in which line, without repeating a key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut first = None;
        let mut later: Vec<(Timestamp, SigningKey)> = Vec::new();
        let lines = text
            .lines()
            .enumerate()
            .map(|(index, line)| (index + 1, line.trim()))
            .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        for (number, line) in lines {
            let (from, key) = line.split_once(char::is_whitespace).ok_or_else(|| {
                format!("line {number}: write FROM KEY, FROM a time or - for the first")
            })?;
            let key = parse_key(key.trim()).map_err(|error| format!("line {number}: {error}"))?;
            if first.is_none() {
                if from != "-" {
                    return Err(format!(
                        "line {number}: the first key starts with -, so that every order has one"
                    ));
                }
                first = Some(key);
                continue;
            }
            let from = Timestamp::parse_rfc3339(from).map_err(|_| {
                format!("line {number}: FROM is a time such as 2026-12-01T00:00:00Z")
            })?;
            if later.last().is_some_and(|(last, _)| *last >= from) {
                return Err(format!(
                    "line {number}: keys are listed in the order of their FROM"
                ));
            }
            later.push((from, key));
        }
        let first = first.ok_or("the file has no key; write a line: - KEY")?;
        Ok(Self { first, later })
    }

    /// Returns a text that identifies all keys and their times without revealing them.
    pub fn fingerprint(&self) -> String {
        self.later
            .iter()
            .fold(self.first.id().to_owned(), |text, (from, key)| {
                format!("{text} {from} {}", key.id())
            })
    }

    /// Returns the key that signs the voucher of an order sent at `sent_at`: the last whose FROM is
    /// not later.
    pub fn at(&self, sent_at: Timestamp) -> &SigningKey {
        self.later
            .iter()
            .rev()
            .find(|(from, _)| *from <= sent_at)
            .map_or(&self.first, |(_, key)| key)
    }

    /// Returns whether one key signs the vouchers of all orders.
    pub const fn is_single(&self) -> bool {
        self.later.is_empty()
    }

    /// Returns the index of the key that [`at`](Self::at) returns.
    pub fn index_at(&self, sent_at: Timestamp) -> usize {
        let started = self.later.iter().take_while(|(from, _)| *from <= sent_at);
        started.count()
    }

    /// Returns the half-open time of each key, in order.
    pub fn times(&self) -> impl Iterator<Item = (Option<Timestamp>, Option<Timestamp>)> {
        let starts = || self.later.iter().map(|(from, _)| Some(*from));
        let (froms, untils) = (std::iter::once(None).chain(starts()), starts());
        froms.zip(untils.chain(std::iter::once(None)))
    }

    /// Returns the ids of all keys, in order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.first.id()).chain(self.later.iter().map(|(_, key)| key.id()))
    }
}

fn parse_key(text: &str) -> Result<SigningKey, String> {
    let bytes = STANDARD
        .decode(text)
        .or_else(|_| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')))
        .map_err(|_| "a key is base64; make one with: openssl rand -base64 32".to_owned())?;
    SigningKey::new(&bytes).ok_or_else(|| {
        format!(
            "a key has at least {} bytes, this one has {}; make one with: openssl rand -base64 32",
            SigningKey::MIN_BYTES,
            bytes.len()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const TWO: &str = "AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn the_newest_key_at_the_time_of_sending_signs() {
        let keys = SigningKeys::parse(&format!("# rotated\n- {ONE}\n2026-06-01T00:00:00Z {TWO}\n"))
            .unwrap();
        let ids: Vec<_> = keys.ids().collect();
        assert_eq!(keys.at(at("2026-05-31T23:59:59Z")).id(), ids[0]);
        assert_eq!(keys.at(at("2026-06-01T00:00:00Z")).id(), ids[1]);
        assert_eq!(keys.index_at(at("2026-05-31T23:59:59Z")), 0);
        assert_eq!(keys.index_at(at("2026-06-01T00:00:00Z")), 1);
        let change = Some(at("2026-06-01T00:00:00Z"));
        assert!(keys.times().eq([(None, change), (change, None)]));
        assert_eq!(ids[0], "fa0cde5e");
    }

    #[test]
    fn an_error_names_the_line_and_shows_no_key() {
        for (text, said) in [
            (String::new(), "no key"),
            (format!("2026-06-01T00:00:00Z {ONE}"), "line 1"),
            (format!("- {ONE}\nyesterday {TWO}"), "line 2"),
            (
                format!("- {ONE}\n2026-06-01T00:00:00Z {TWO}\n2026-06-01T00:00:00Z {ONE}"),
                "line 3",
            ),
            ("- c2hvcnQ=".to_owned(), "at least 32 bytes"),
            ("- hunter2!".to_owned(), "base64"),
        ] {
            let message = SigningKeys::parse(&text).unwrap_err();
            assert!(message.contains(said), "{message}");
            assert!(
                !message.contains(ONE) && !message.contains("hunter2"),
                "{message}"
            );
        }
    }
}
