//! `redrive --expect`: runs only when those dead letters are open that the preview selected.
//!
//! Between a preview and its run another person may redrive some of the same dead letters, and others may
//! arrive. The run would then do something other than what the preview showed, even if as many are open as
//! before.

use std::collections::HashSet;

use sha2::{Digest as _, Sha256};

use super::RedriveArgs;
use crate::dead_letter::{DeadLetterId, DeadLetterTopic};
use crate::lifecycle::Failure;
use crate::plural::count;

/// The length of a digest in bytes, as that of a record's digest: selections that differ by accident have
/// different digests.
const DIGEST_BYTES: usize = 8;

/// What a preview selected. Written `COUNT`, or `COUNT@DIGEST`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The number of dead letters.
    pub count: u64,
    /// The digest of their ids; `None` for any dead letters.
    pub digest: Option<String>,
}

/// Parses the value of `--expect`.
pub(super) fn parse(text: &str) -> Result<Expected, String> {
    const ADVICE: &str = "write the number of dead letters that --dry-run selected, or the number and \
                          its digest: 4, or 4@1f8b5a09c3d7e642";
    let (number, digest) = match text.split_once('@') {
        Some((number, digest)) => (number, Some(digest)),
        None => (text, None),
    };
    let count: u64 = number.parse().map_err(|_| ADVICE.to_owned())?;
    if digest.is_some_and(|digest| !is_digest(digest)) {
        return Err(ADVICE.to_owned());
    }
    Ok(Expected {
        count,
        digest: digest.map(str::to_owned),
    })
}

fn is_digest(text: &str) -> bool {
    let is_hex = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == 2 * DIGEST_BYTES && text.bytes().all(is_hex)
}

/// Returns the digest of a selection, whatever its order: the beginning of a SHA-256 over the ids, as hex
/// digits.
pub(super) fn digest_of<'a>(selected: impl IntoIterator<Item = &'a DeadLetterId>) -> String {
    let mut ids: Vec<_> = selected.into_iter().collect();
    ids.sort_unstable();
    let mut hash = Sha256::new();
    for id in ids {
        hash.update(format!("{id}\n"));
    }
    hex::encode(&hash.finalize()[..DIGEST_BYTES])
}

/// Returns the open dead letters that are selected, if they are the expected ones; `None` when none are
/// expected. A dead letter that arrives later is not among them.
///
/// # Errors
/// Exit code 2 when others are open; 1 when the topics cannot be read.
pub(super) fn expected(
    topic: &DeadLetterTopic,
    args: &RedriveArgs,
) -> Result<Option<HashSet<DeadLetterId>>, Failure> {
    let Some(expected) = &args.expect else {
        return Ok(None);
    };
    let mut open = HashSet::new();
    topic.for_each_open(&args.filter, |dead_letter, _| {
        open.insert(dead_letter.id);
    })?;
    match difference(&open, expected) {
        None => Ok(Some(open)),
        Some(why) => Err(Failure::bad_setting(why)),
    }
}

/// Returns why the open dead letters are not the expected ones.
fn difference(open: &HashSet<DeadLetterId>, expected: &Expected) -> Option<String> {
    let what = if open.len() as u64 != expected.count {
        let are = if open.len() == 1 { "is" } else { "are" };
        let number = count(open.len(), "dead letter");
        let wanted = expected.count;
        format!("{number} {are} open and selected, and --expect says {wanted}")
    } else if let Some(digest) = &expected.digest
        && *digest != digest_of(open)
    {
        "as many dead letters are open and selected as --expect says, but others".to_owned()
    } else {
        return None;
    };
    Some(format!(
        "{what}: somebody else may have redriven some, or new ones have arrived; nothing was written; \
         preview again with --dry-run"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[&str]) -> HashSet<DeadLetterId> {
        let ids = ids.iter().map(|id| format!("a/{id}@0000000000000000"));
        ids.map(|id| id.parse().unwrap()).collect()
    }

    #[test]
    fn a_different_number_is_reported_with_a_hint() {
        let sentence = difference(&ids(&["0/1"]), &parse("10").unwrap()).unwrap();
        assert!(
            sentence.starts_with("1 dead letter is open and selected, and --expect says 10: "),
            "{sentence}"
        );
        assert!(sentence.ends_with("preview again with --dry-run"));
    }

    #[test]
    fn as_many_others_are_not_what_was_previewed() {
        let previewed = ids(&["0/1", "0/2"]);
        let expected = parse(&format!("2@{}", digest_of(&previewed))).unwrap();
        assert_eq!(difference(&previewed, &expected), None);
        let others = ids(&["0/2", "1/7"]);
        let sentence = difference(&others, &expected).unwrap();
        assert!(sentence.contains("but others"), "{sentence}");
        assert_eq!(difference(&others, &parse("2").unwrap()), None);
    }

    #[test]
    fn a_digest_does_not_depend_on_the_order() {
        let [one, other] = ["a/0/1@0000000000000000", "a/0/2@0000000000000000"]
            .map(|id| id.parse::<DeadLetterId>().unwrap());
        assert_eq!(digest_of([&one, &other]), digest_of([&other, &one]));
        assert!(is_digest(&digest_of([])));
    }

    #[test]
    fn what_is_expected_is_a_number_with_or_without_a_digest() {
        let digest = "1f8b5a09c3d7e642";
        let expected = parse(&format!("4@{digest}")).unwrap();
        assert_eq!(
            (expected.count, expected.digest.as_deref()),
            (4, Some(digest))
        );
        assert_eq!(parse("0").unwrap().digest, None);
        for wrong in [
            "",
            "four",
            "-1",
            "4@",
            "4@1f8b",
            "@1f8b5a09c3d7e642",
            "4@1F8B5A09C3D7E642",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
