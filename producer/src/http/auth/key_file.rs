//! `API_KEYS_FILE`, read again when it changes: keys are added and removed without a restart.

use std::path::{Path, PathBuf};

use metrics::gauge;
use runtime::lifecycle::{Failure, Shutdown};
use runtime::metrics::API_KEYS;
use runtime::settings::read_secret_file;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::ApiKeys;
use crate::limits::API_KEYS_PERIOD;

/// The file as it was read at the start.
#[derive(Debug)]
pub struct KeyFile {
    path: PathBuf,
    keys: ApiKeys,
    text: TextDigest,
}

/// The digest of a text, which is not kept: it may hold plain keys.
type TextDigest = [u8; 32];

fn digest(text: &str) -> TextDigest {
    Sha256::digest(text.as_bytes()).into()
}

impl KeyFile {
    /// Reads the file.
    ///
    /// # Errors
    /// Exit code 2 for a file that can't be read, or holds no keys.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let text = read_secret_file("API_KEYS_FILE", path)?;
        let keys = ApiKeys::parse(&text)
            .map_err(|error| Failure::bad_setting(format!("API_KEYS_FILE: {error}")))?;
        Ok(Self {
            path: path.to_owned(),
            keys,
            text: digest(&text),
        })
    }

    /// Returns the keys, and the part that updates them when the file changes.
    pub fn watched(self) -> (watch::Receiver<ApiKeys>, Reload) {
        let (sender, keys) = watch::channel(self.keys);
        let reload = Reload {
            path: self.path,
            seen: Seen::new(self.text),
            sender,
        };
        (keys, reload)
    }
}

/// Reads the file again for as long as the service runs.
#[derive(Debug)]
pub struct Reload {
    path: PathBuf,
    seen: Seen,
    sender: watch::Sender<ApiKeys>,
}

impl Reload {
    /// Reads the file until shutdown. A request is checked against the keys of the moment it arrives. A file
    /// that is wrong leaves the keys as they are.
    ///
    /// # Errors
    /// None; the supervisor expects this type.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), Failure> {
        loop {
            gauge!(API_KEYS).set(self.sender.borrow().count() as f64);
            tokio::select! {
                () = tokio::time::sleep(API_KEYS_PERIOD) => {}
                () = shutdown.requested() => return Ok(()),
            }
            let read = tokio::fs::read_to_string(&self.path).await;
            match self.seen.check(read.map_err(|error| error.to_string())) {
                Check::Same => {}
                Check::Changed(keys) => {
                    tracing::info!(
                        keys = keys.count(),
                        "API_KEYS_FILE has changed and was read again"
                    );
                    self.sender.send_replace(keys);
                }
                Check::Wrong(why) => tracing::warn!(
                    "API_KEYS_FILE: {}: {why}; the keys stay as they were",
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
    used: TextDigest,
    /// Another text, if the last check found one.
    new: Option<TextDigest>,
    /// The error that was reported last, which is not repeated.
    reported: Option<String>,
}

/// What a check of the file found.
#[derive(Debug)]
enum Check {
    /// Nothing to do.
    Same,
    /// These keys are valid from now on.
    Changed(ApiKeys),
    /// The file can't be used, for this reason; reported once.
    Wrong(String),
}

impl Seen {
    const fn new(used: TextDigest) -> Self {
        Self {
            used,
            new: None,
            reported: None,
        }
    }

    /// Accepts a text when two checks in a row found it, so that a file that is being written is not read
    /// in part.
    fn check(&mut self, read: Result<String, String>) -> Check {
        let text = match read {
            Ok(text) => text,
            Err(why) => {
                self.new = None;
                return self.wrong(format!("cannot read it: {why}"));
            }
        };
        let found = digest(&text);
        if found == self.used {
            (self.new, self.reported) = (None, None);
            return Check::Same;
        }
        if self.new != Some(found) {
            self.new = Some(found);
            return Check::Same;
        }
        match ApiKeys::parse(&text) {
            Ok(keys) => {
                *self = Self::new(found);
                Check::Changed(keys)
            }
            Err(why) => self.wrong(why),
        }
    }

    fn wrong(&mut self, why: String) -> Check {
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

    fn check(seen: &mut Seen, text: &str) -> Check {
        seen.check(Ok(text.to_owned()))
    }

    #[test]
    fn a_text_counts_when_it_was_read_the_same_twice() {
        let mut seen = Seen::new(digest("old\n"));
        assert!(matches!(check(&mut seen, "old\n"), Check::Same));
        assert!(matches!(check(&mut seen, "n"), Check::Same));
        assert!(matches!(check(&mut seen, "new\nold\n"), Check::Same));
        let Check::Changed(keys) = check(&mut seen, "new\nold\n") else {
            panic!("the second check did not count");
        };
        assert_eq!(keys.count(), 2);
        assert!(keys.identify(b"new").is_some());
        assert!(matches!(check(&mut seen, "new\nold\n"), Check::Same));
    }

    #[test]
    fn a_wrong_file_changes_nothing_and_is_reported_once_without_its_text() {
        let mut seen = Seen::new(digest("old\n"));
        for wrong in ["", "# none\n", "hunter 2\n"] {
            assert!(matches!(check(&mut seen, wrong), Check::Same));
            if let Check::Wrong(why) = check(&mut seen, wrong) {
                assert!(!why.contains("hunter"), "{why}");
            } else {
                assert_eq!(wrong, "# none\n", "the same was reported of the empty one");
            }
            assert!(matches!(check(&mut seen, wrong), Check::Same));
        }
        let gone = || Err("No such file".to_owned());
        assert!(matches!(seen.check(gone()), Check::Wrong(_)));
        assert!(matches!(seen.check(gone()), Check::Same));
        // Back as it was: the next fault is reported again.
        assert!(matches!(check(&mut seen, "old\n"), Check::Same));
        assert!(matches!(seen.check(gone()), Check::Wrong(_)));
    }
}
