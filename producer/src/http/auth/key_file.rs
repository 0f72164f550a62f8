//! `API_KEYS_FILE`, read again when it changes: a key is given or taken away without a restart.

use std::path::{Path, PathBuf};
use std::time::Duration;

use metrics::gauge;
use runtime::lifecycle::{Failure, Shutdown};
use runtime::metrics::API_KEYS;
use runtime::settings::read_secret_file;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::ApiKeys;

/// Between two looks at the file.
const PERIOD: Duration = Duration::from_secs(1);

/// The file as it was read at the start.
#[derive(Debug)]
pub struct KeyFile {
    path: PathBuf,
    keys: ApiKeys,
    text: TextDigest,
}

/// A text that is compared and not kept: it may hold keys in plain.
type TextDigest = [u8; 32];

fn digest(text: &str) -> TextDigest {
    Sha256::digest(text.as_bytes()).into()
}

impl KeyFile {
    /// Reads it.
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

    /// Its keys, and the part that keeps them as the file has them.
    pub fn watched(self) -> (watch::Receiver<ApiKeys>, Reload) {
        let (tell, keys) = watch::channel(self.keys);
        let reload = Reload {
            path: self.path,
            seen: Seen::new(self.text),
            tell,
        };
        (keys, reload)
    }
}

/// Looks at the file for as long as the service runs.
#[derive(Debug)]
pub struct Reload {
    path: PathBuf,
    seen: Seen,
    tell: watch::Sender<ApiKeys>,
}

impl Reload {
    /// Looks until shutdown. Requests are judged by the keys of the moment they arrive.
    ///
    /// # Errors
    /// None; the type is that of a part. A file that is wrong now leaves the keys as they are.
    pub async fn run(mut self, shutdown: Shutdown) -> Result<(), Failure> {
        loop {
            gauge!(API_KEYS).set(self.tell.borrow().count() as f64);
            tokio::select! {
                () = tokio::time::sleep(PERIOD) => {}
                () = shutdown.requested() => return Ok(()),
            }
            let read = tokio::fs::read_to_string(&self.path).await;
            match self.seen.look(read.map_err(|error| error.to_string())) {
                Look::Same => {}
                Look::Changed(keys) => {
                    tracing::info!(keys = keys.count(), "API_KEYS_FILE was read again");
                    self.tell.send_replace(keys);
                }
                Look::Wrong(why) => tracing::warn!(
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
    /// Another text, of the last look.
    new: Option<TextDigest>,
    /// What was said of it: once is enough.
    said: Option<String>,
}

/// What a look at the file says.
#[derive(Debug)]
enum Look {
    /// Nothing to do.
    Same,
    /// These keys from now on.
    Changed(ApiKeys),
    /// Why it can't be used; told once.
    Wrong(String),
}

impl Seen {
    const fn new(used: TextDigest) -> Self {
        Self {
            used,
            new: None,
            said: None,
        }
    }

    /// A text counts when two looks in a row found it: one that is being written is not taken by
    /// halves.
    fn look(&mut self, read: Result<String, String>) -> Look {
        let text = match read {
            Ok(text) => text,
            Err(why) => {
                self.new = None;
                return self.wrong(format!("can't read it: {why}"));
            }
        };
        let found = digest(&text);
        if found == self.used {
            (self.new, self.said) = (None, None);
            return Look::Same;
        }
        if self.new != Some(found) {
            self.new = Some(found);
            return Look::Same;
        }
        match ApiKeys::parse(&text) {
            Ok(keys) => {
                *self = Self::new(found);
                Look::Changed(keys)
            }
            Err(why) => self.wrong(why),
        }
    }

    fn wrong(&mut self, why: String) -> Look {
        if self.said.as_ref() == Some(&why) {
            return Look::Same;
        }
        self.said = Some(why.clone());
        Look::Wrong(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(seen: &mut Seen, text: &str) -> Look {
        seen.look(Ok(text.to_owned()))
    }

    #[test]
    fn a_text_counts_when_it_was_read_the_same_twice() {
        let mut seen = Seen::new(digest("old\n"));
        assert!(matches!(look(&mut seen, "old\n"), Look::Same));
        assert!(matches!(look(&mut seen, "n"), Look::Same));
        assert!(matches!(look(&mut seen, "new\nold\n"), Look::Same));
        let Look::Changed(keys) = look(&mut seen, "new\nold\n") else {
            panic!("the second look did not count");
        };
        assert_eq!(keys.count(), 2);
        assert!(keys.identify(b"new").is_some());
        assert!(matches!(look(&mut seen, "new\nold\n"), Look::Same));
    }

    #[test]
    fn a_wrong_file_changes_nothing_and_is_told_once_without_its_words() {
        let mut seen = Seen::new(digest("old\n"));
        for wrong in ["", "# none\n", "hunter 2\n"] {
            assert!(matches!(look(&mut seen, wrong), Look::Same));
            if let Look::Wrong(why) = look(&mut seen, wrong) {
                assert!(!why.contains("hunter"), "{why}");
            } else {
                assert_eq!(wrong, "# none\n", "the same was said of the empty one");
            }
            assert!(matches!(look(&mut seen, wrong), Look::Same));
        }
        let gone = || Err("No such file".to_owned());
        assert!(matches!(seen.look(gone()), Look::Wrong(_)));
        assert!(matches!(seen.look(gone()), Look::Same));
        // Back as it was: the next fault is news again.
        assert!(matches!(look(&mut seen, "old\n"), Look::Same));
        assert!(matches!(seen.look(gone()), Look::Wrong(_)));
    }
}
