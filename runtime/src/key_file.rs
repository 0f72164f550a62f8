//! A file of keys, read again when it changes: keys are added and removed without a restart.

use std::path::{Path, PathBuf};
use std::time::Duration;

use metrics::gauge;
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};
use tokio::sync::watch;

use crate::lifecycle::{Failure, Shutdown};
use crate::metrics::KEYS_FILE_STALE;
use crate::settings::read_secret_file;

/// Keys that are valid together.
pub trait FileKeys: Sized + Send + Sync + 'static {
    /// Parses the text of a file.
    ///
    /// # Errors
    /// A sentence that names the line, never a key.
    fn parse(text: &str) -> Result<Self, String>;

    /// Returns how many keys there are.
    fn count(&self) -> usize;
}

/// The file as it was read at the start.
#[derive(Debug)]
pub struct KeyFile<K> {
    /// The variable that names the file.
    variable: &'static str,
    path: PathBuf,
    keys: K,
    text: KeyDigest,
}

/// The SHA-256 of a key, or of a text that may hold keys. Neither is kept itself.
pub type KeyDigest = [u8; 32];

/// Returns the digest of a key.
pub fn digest(key: &[u8]) -> KeyDigest {
    Sha256::digest(key).into()
}

/// Calls `parse` with each line of a file of keys, without the spaces around it. Leaves out empty lines
/// and lines that start with `#`.
///
/// # Errors
/// The first error of `parse`, after the number of its line.
pub fn parse_lines(
    text: &str,
    mut parse: impl FnMut(&str) -> Result<(), &'static str>,
) -> Result<(), String> {
    for (number, line) in (1_u64..).zip(text.lines()) {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            parse(line).map_err(|why| format!("line {number}: {why}"))?;
        }
    }
    Ok(())
}

/// Returns the digest of the key that a word of a line stands for. The word is the key itself, or
/// `sha256:` and the 64 hex digits of its digest.
///
/// # Errors
/// What is wrong with the word, without showing it.
pub fn digest_of_word(word: &str) -> Result<KeyDigest, &'static str> {
    if let Some(digits) = word.strip_prefix("sha256:") {
        let mut digest = [0; 32];
        hex::decode_to_slice(digits, &mut digest)
            .map_err(|_| "write sha256: and the 64 hex digits of the key's SHA-256")?;
        return Ok(digest);
    }
    if !word.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a key is visible ASCII without spaces");
    }
    Ok(digest(word.as_bytes()))
}

/// Returns the key of `keys` that has this digest, if there is one. Takes the same time for every digest.
pub fn key_with<'a, K>(
    keys: &'a [K],
    digest: &KeyDigest,
    digest_of: impl Fn(&K) -> &KeyDigest,
) -> Option<&'a K> {
    let mut found = u64::MAX;
    for (at, key) in (0..).zip(keys) {
        found.conditional_assign(&at, digest_of(key).ct_eq(digest));
    }
    keys.get(usize::try_from(found).ok()?)
}

impl<K: FileKeys> KeyFile<K> {
    /// Reads the file at `path`, which `variable` names.
    ///
    /// # Errors
    /// Exit code 2 for a file that cannot be read, or holds no keys.
    pub fn open(variable: &'static str, path: &Path) -> Result<Self, Failure> {
        let text = read_secret_file(variable, path)?;
        let keys = K::parse(&text)
            .map_err(|error| Failure::bad_setting(format!("{variable}: {error}")))?;
        Ok(Self {
            variable,
            path: path.to_owned(),
            keys,
            text: digest(text.as_bytes()),
        })
    }

    /// Returns the keys, and the part that updates them when the file changes.
    pub fn watched(self) -> (watch::Receiver<K>, Reload<K>) {
        let (sender, keys) = watch::channel(self.keys);
        let reload = Reload {
            variable: self.variable,
            path: self.path,
            seen: Seen::new(self.text),
            sender,
        };
        (keys, reload)
    }
}

/// Reads the file again for as long as the service runs.
#[derive(Debug)]
pub struct Reload<K> {
    variable: &'static str,
    path: PathBuf,
    seen: Seen,
    sender: watch::Sender<K>,
}

impl<K: FileKeys> Reload<K> {
    /// Reads the file every `period` until shutdown. A request is checked against the keys of the moment it
    /// arrives. A file that is wrong leaves the keys as they are. `counted` receives the number of keys in
    /// each period.
    ///
    /// # Errors
    /// None; the supervisor expects this type.
    pub async fn run(
        mut self,
        period: Duration,
        counted: impl Fn(usize) + Send,
        shutdown: Shutdown,
    ) -> Result<(), Failure> {
        let variable = self.variable;
        let stale = gauge!(KEYS_FILE_STALE, "variable" => variable);
        loop {
            counted(self.sender.borrow().count());
            stale.set(u8::from(self.seen.is_wrong()));
            tokio::select! {
                () = tokio::time::sleep(period) => {}
                () = shutdown.requested() => return Ok(()),
            }
            let read = tokio::fs::read_to_string(&self.path).await;
            match self
                .seen
                .check::<K>(read.map_err(|error| error.to_string()))
            {
                Check::Same => {}
                Check::Changed(keys) => {
                    tracing::info!(
                        keys = keys.count(),
                        "{variable} has changed and was read again"
                    );
                    self.sender.send_replace(keys);
                }
                Check::Wrong(why) => tracing::warn!(
                    "{variable}: {}: {why}; the keys stay as they were",
                    self.path.display()
                ),
            }
        }
    }
}

/// What was read before.
#[derive(Debug)]
struct Seen {
    /// The text whose keys are in use.
    used: KeyDigest,
    /// Another text, if the last check found one.
    new: Option<KeyDigest>,
    /// The error that was reported last, which is not repeated.
    reported: Option<String>,
}

/// What a check of the file found.
#[derive(Debug)]
enum Check<K> {
    /// Nothing to do.
    Same,
    /// These keys are valid from now on.
    Changed(K),
    /// The file cannot be used, for this reason; reported once.
    Wrong(String),
}

impl Seen {
    const fn new(used: KeyDigest) -> Self {
        Self {
            used,
            new: None,
            reported: None,
        }
    }

    /// Returns whether the file has an error that was reported and is not corrected yet.
    const fn is_wrong(&self) -> bool {
        self.reported.is_some()
    }

    /// Accepts a text when two checks in a row found it, so that a file that is being written is not read
    /// in part.
    fn check<K: FileKeys>(&mut self, read: Result<String, String>) -> Check<K> {
        let text = match read {
            Ok(text) => text,
            Err(why) => {
                self.new = None;
                return self.wrong(format!("cannot read it: {why}"));
            }
        };
        let found = digest(text.as_bytes());
        if found == self.used {
            (self.new, self.reported) = (None, None);
            return Check::Same;
        }
        if self.new != Some(found) {
            self.new = Some(found);
            return Check::Same;
        }
        match K::parse(&text) {
            Ok(keys) => {
                *self = Self::new(found);
                Check::Changed(keys)
            }
            Err(why) => self.wrong(why),
        }
    }

    fn wrong<K>(&mut self, why: String) -> Check<K> {
        if self.reported.as_ref() == Some(&why) {
            return Check::Same;
        }
        self.reported = Some(why.clone());
        Check::Wrong(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One word a line.
    #[derive(Debug)]
    struct Words(Vec<String>);

    impl FileKeys for Words {
        fn parse(text: &str) -> Result<Self, String> {
            let words: Vec<_> = text.lines().map(str::to_owned).collect();
            if words.is_empty() {
                return Err("no key is in it".to_owned());
            }
            match words.iter().position(|word| word.contains(' ')) {
                Some(at) => Err(format!("line {}: a key is one word", at + 1)),
                None => Ok(Self(words)),
            }
        }

        fn count(&self) -> usize {
            self.0.len()
        }
    }

    fn check(seen: &mut Seen, text: &str) -> Check<Words> {
        seen.check(Ok(text.to_owned()))
    }

    #[test]
    fn lines_are_parsed_without_comments_and_a_wrong_one_is_named() {
        let mut words = Vec::new();
        let parsed = parse_lines("# team\n\n  one \n two\n", |line| {
            words.push(line.to_owned());
            Ok(())
        });
        assert_eq!(parsed, Ok(()));
        assert_eq!(words, ["one", "two"]);
        let wrong = parse_lines("one\n\n two\n", |line| match line {
            "two" => Err("not this one"),
            _ => Ok(()),
        });
        assert_eq!(wrong, Err("line 3: not this one".to_owned()));
    }

    #[test]
    fn a_key_is_found_by_its_digest_however_its_line_has_it() {
        let words = [
            "first".to_owned(),
            format!("sha256:{}", hex::encode(digest(b"second"))),
        ];
        let keys = words.map(|word| digest_of_word(&word).unwrap());
        let position = |key: &[u8]| {
            let found = key_with(&keys, &digest(key), |digest| digest)?;
            keys.iter().position(|digest| digest == found)
        };
        assert_eq!(position(b"first"), Some(0));
        assert_eq!(position(b"second"), Some(1));
        assert_eq!(position(b"third"), None);
        let none: [KeyDigest; 0] = [];
        assert_eq!(key_with(&none, &digest(b"first"), |digest| digest), None);
        for wrong in ["sha256:", "sha256:00", "two words", "schl\u{fc}ssel"] {
            assert!(digest_of_word(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_text_counts_when_it_was_read_the_same_twice() {
        let mut seen = Seen::new(digest(b"old\n"));
        assert!(matches!(check(&mut seen, "old\n"), Check::Same));
        assert!(matches!(check(&mut seen, "n"), Check::Same));
        assert!(matches!(check(&mut seen, "new\nold\n"), Check::Same));
        let Check::Changed(keys) = check(&mut seen, "new\nold\n") else {
            panic!("the second check did not count");
        };
        assert_eq!(keys.0, ["new", "old"]);
        assert!(matches!(check(&mut seen, "new\nold\n"), Check::Same));
    }

    #[test]
    fn a_wrong_file_changes_nothing_and_is_reported_once() {
        let mut seen = Seen::new(digest(b"old\n"));
        for wrong in ["", "hunter 2\n"] {
            assert!(matches!(check(&mut seen, wrong), Check::Same));
            assert!(matches!(check(&mut seen, wrong), Check::Wrong(_)));
            assert!(matches!(check(&mut seen, wrong), Check::Same));
            assert!(seen.is_wrong());
        }
        let gone = |seen: &mut Seen| seen.check::<Words>(Err("No such file".to_owned()));
        assert!(matches!(gone(&mut seen), Check::Wrong(_)));
        assert!(matches!(gone(&mut seen), Check::Same));
        // Back as it was: the next fault is reported again.
        assert!(matches!(check(&mut seen, "old\n"), Check::Same));
        assert!(!seen.is_wrong());
        assert!(matches!(gone(&mut seen), Check::Wrong(_)));
        // Another text that can be used.
        assert!(matches!(check(&mut seen, "new\n"), Check::Same));
        assert!(matches!(check(&mut seen, "new\n"), Check::Changed(_)));
        assert!(!seen.is_wrong());
    }
}
