//! The keys of the console, and the text of `CONSOLE_KEYS_FILE`.

use std::fmt;
use std::sync::Arc;

use runtime::key_file::{FileKeys, KeyDigest, digest_of_word, key_with, parse_lines};
use runtime::settings::is_identifier;

use super::session::Identity;
use crate::settings::Role;

/// The minimum length of a plain key. A shorter one could be guessed.
const MIN_KEY: usize = 16;

/// The maximum length of a name, in bytes. Audit records contain it.
const MAX_NAME: usize = 64;

/// The digests of keys and the identities of their owners. Cheap to clone.
#[derive(Clone)]
pub struct ConsoleKeys {
    keys: Arc<[Key]>,
}

#[derive(PartialEq, Eq)]
struct Key {
    digest: KeyDigest,
    identity: Identity,
}

impl fmt::Debug for ConsoleKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConsoleKeys({} keys)", self.keys.len())
    }
}

impl FileKeys for ConsoleKeys {
    /// Parses lines of `NAME ROLE KEY`. A key is plain, or `sha256:` and 64 hex digits. Empty lines and
    /// lines that start with `#` are ignored. Several lines may have one name, so that a key can be
    /// replaced; the role of a name is the same on all of them.
    fn parse(text: &str) -> Result<Self, String> {
        let mut keys: Vec<Key> = Vec::new();
        parse_lines(text, |line| {
            let key = key_of_line(line)?;
            let same_name = |other: &&Key| other.identity.name == key.identity.name;
            if keys
                .iter()
                .find(same_name)
                .is_some_and(|other| other.identity != key.identity)
            {
                return Err("this name has another role on an earlier line");
            }
            match keys.iter().find(|other| other.digest == key.digest) {
                None => keys.push(key),
                Some(other) if *other == key => {}
                Some(_) => return Err("this key belongs to another name already"),
            }
            Ok(())
        })?;
        if keys.is_empty() {
            return Err(
                "no key is in it; write lines of NAME ROLE KEY (openssl rand -hex 32 makes a key)"
                    .to_owned(),
            );
        }
        Ok(Self { keys: keys.into() })
    }

    fn count(&self) -> usize {
        self.keys.len()
    }
}

impl ConsoleKeys {
    /// Returns the owner of the key with this digest. Takes the same time for every digest.
    pub(super) fn identify(&self, digest: &KeyDigest) -> Option<Identity> {
        let key = key_with(&self.keys, digest, |key| &key.digest)?;
        Some(key.identity.clone())
    }
}

fn key_of_line(line: &str) -> Result<Key, &'static str> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [name, role, key] = words[..] else {
        return Err("write a name, a role and a key, with spaces between them");
    };
    if !is_identifier(name, MAX_NAME) {
        return Err("a name is 1 to 64 letters, digits, '.', '_' or '-'");
    }
    let role = match role {
        "viewer" => Role::Viewer,
        "operator" => Role::Operator,
        _ => return Err("the second word is the role: viewer or operator"),
    };
    let digest = digest_of_word(key)?;
    if key.len() < MIN_KEY {
        return Err("a key has at least 16 characters (openssl rand -hex 32 makes one)");
    }
    let name = name.to_owned();
    Ok(Key {
        digest,
        identity: Identity { name, role },
    })
}

#[cfg(test)]
mod tests {
    use runtime::key_file::digest;

    use super::*;

    const ANNS: &str = "ann-0123456789abcdef";
    const BOBS: &str = "bob-0123456789abcdef";

    fn whose(keys: &ConsoleKeys, key: &str) -> Option<(String, Role)> {
        let identity = keys.identify(&digest(key.as_bytes()))?;
        Some((identity.name, identity.role))
    }

    #[test]
    fn a_key_is_known_by_name_and_role_plain_or_hashed() {
        let hashed = hex::encode(digest(BOBS.as_bytes()));
        let text = format!("# team\n\n ann\toperator  {ANNS}\nbob viewer sha256:{hashed}\n");
        let keys = ConsoleKeys::parse(&text).unwrap();
        assert_eq!(keys.count(), 2);
        assert_eq!(whose(&keys, ANNS), Some(("ann".to_owned(), Role::Operator)));
        assert_eq!(whose(&keys, BOBS), Some(("bob".to_owned(), Role::Viewer)));
        assert_eq!(whose(&keys, &hashed), None);
        assert_eq!(whose(&keys, ""), None);
        assert!(!format!("{keys:?}").contains(ANNS));
    }

    #[test]
    fn a_key_can_be_replaced_by_a_second_one_of_the_same_name() {
        let text = format!("ann viewer {ANNS}\nann viewer {BOBS}\nann viewer {ANNS}");
        let keys = ConsoleKeys::parse(&text).unwrap();
        assert_eq!(keys.count(), 2);
        assert_eq!(whose(&keys, ANNS), whose(&keys, BOBS));
    }

    #[test]
    fn a_wrong_line_is_named_and_no_key_is_shown() {
        for wrong in [
            "",
            "# nobody\n",
            "hunter2hunter2hunter2",
            "ann hunter2hunter2hunter2",
            "ann admin hunter2hunter2hunter2",
            "ann viewer hunter2",
            "ann viewer hunter2 hunter2",
            "änn viewer hunter2hunter2hunter2",
            "ann viewer sha256:hunter2",
            "ann viewer hunter2hunter2hunter2\nann operator hunter3hunter3hunter3",
            "ann viewer hunter2hunter2hunter2\nbob viewer hunter2hunter2hunter2",
        ] {
            let error = ConsoleKeys::parse(wrong).unwrap_err();
            assert!(!error.contains("hunter"), "{wrong}: {error}");
            let names_line = error.contains("line ") || error.contains("no key");
            assert!(names_line, "{wrong}: {error}");
        }
    }
}
