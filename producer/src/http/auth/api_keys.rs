//! API keys, and the text of their file.

use std::fmt;
use std::sync::Arc;

use runtime::key_file::{FileKeys, KeyDigest, digest, digest_of_word, key_with, parse_lines};
use runtime::settings::is_identifier;

use super::Caller;
use crate::limits::{MAX_CLIENT_NAME, MIN_NAMED_KEY};

/// The digests of API keys. Cheap to clone.
#[derive(Clone)]
pub struct ApiKeys {
    keys: Arc<[Key]>,
}

struct Key {
    digest: KeyDigest,
    client: String,
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeys({} keys)", self.keys.len())
    }
}

impl ApiKeys {
    /// Parses the text of a file: one key per line, with or without its client's name before it. A key
    /// is plain, or `sha256:` and 64 hex digits. Empty lines and lines that start with `#` are ignored.
    ///
    /// A key without a name is a client of its own, named by the first 8 hex digits of its digest.
    /// Another line may use that name: its key is a second key of that client.
    ///
    /// # Errors
    /// A sentence that names the line, never the key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut keys: Vec<Key> = Vec::new();
        parse_lines(text, |line| {
            let key = key_of_line(line)?;
            match keys.iter().find(|other| other.digest == key.digest) {
                None => keys.push(key),
                Some(other) if other.client == key.client => {}
                Some(_) => return Err("this key belongs to another client already"),
            }
            Ok(())
        })?;
        if keys.is_empty() {
            return Err(
                "no key is in it; write one a line (openssl rand -hex 32 makes one)".to_owned(),
            );
        }
        Ok(Self { keys: keys.into() })
    }

    /// Returns how many keys there are.
    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// Returns the client of a key. Takes the same time for every key.
    pub fn identify(&self, key: &[u8]) -> Option<Caller> {
        let key = key_with(&self.keys, &digest(key), |key| &key.digest)?;
        Some(Caller {
            client: key.client.clone(),
        })
    }
}

impl FileKeys for ApiKeys {
    fn parse(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }

    fn count(&self) -> usize {
        self.count()
    }
}

fn key_of_line(line: &str) -> Result<Key, &'static str> {
    let mut words = line.split_ascii_whitespace();
    let (name, key) = match (words.next(), words.next(), words.next()) {
        (Some(key), None, _) => (None, key),
        (Some(name), Some(key), None) => (Some(name), key),
        _ => return Err("a key is one word, alone or after the name of its client"),
    };
    let digest = digest_of_word(key)?;
    let client = match name {
        None => hex::encode(&digest[..4]),
        Some(name) if !is_identifier(name, MAX_CLIENT_NAME) => {
            return Err("a client's name is 1 to 64 letters, digits, '.', '_' or '-'");
        }
        Some(_) if key.len() < MIN_NAMED_KEY => {
            return Err(
                "a key after a client's name has at least 16 characters (openssl rand -hex 32 makes one)",
            );
        }
        Some(name) => name.to_owned(),
    };
    Ok(Key { digest, client })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_hashed_keys_are_known_by_the_same_name() {
        let digest = hex::encode(digest(b"s3cret"));
        let plain = ApiKeys::parse("# shop\n\n  s3cret  \n").unwrap();
        let hashed = ApiKeys::parse(&format!("sha256:{digest}")).unwrap();
        let caller = plain.identify(b"s3cret");
        assert_eq!(caller, hashed.identify(b"s3cret"));
        assert_eq!(caller.unwrap().client, digest[..8]);
        assert_eq!(plain.identify(b"s3cre"), None);
        assert_eq!(hashed.identify(digest.as_bytes()), None);
        assert!(!format!("{plain:?}").contains("s3cret"));
    }

    #[test]
    fn keys_with_one_name_are_one_client() {
        let (old, new) = ("old-0123456789abcdef", "new-0123456789abcdef");
        let client = |keys: &ApiKeys, key: &str| Some(keys.identify(key.as_bytes())?.client);
        let shop = Some("shop".to_owned());
        let before = ApiKeys::parse(&format!("shop {old}")).unwrap();
        let hashed = hex::encode(digest(new.as_bytes()));
        let both = ApiKeys::parse(&format!("shop\t{old}\n shop  sha256:{hashed}\nlone")).unwrap();
        assert_eq!(client(&before, old), shop);
        assert_eq!(
            (client(&both, old), client(&both, new)),
            (shop.clone(), shop)
        );
        assert_eq!(both.count(), 3);
        // The client of a key without a name gets a second key under the derived name.
        let id = client(&both, "lone").unwrap();
        let renewed = ApiKeys::parse(&format!("lone\n{id} {new}\n")).unwrap();
        assert_eq!(client(&renewed, new), Some(id));
    }

    #[test]
    fn an_ambiguous_line_is_refused() {
        for wrong in [
            "shop 0123456789abcde",
            "shop and 0123456789abcdef",
            "shöp 0123456789abcdef",
            "0123456789abcdef\nshop 0123456789abcdef",
            "shop 0123456789abcdef\nmall 0123456789abcdef",
        ] {
            assert!(ApiKeys::parse(wrong).is_err(), "{wrong}");
        }
        let long = format!("{} 0123456789abcdef", "x".repeat(65));
        assert!(ApiKeys::parse(&long).is_err());
        assert!(ApiKeys::parse("same\nsame").is_ok_and(|keys| keys.count() == 1));
    }

    #[test]
    fn a_file_without_usable_keys_is_refused_without_showing_them() {
        assert!(ApiKeys::parse("\n# nothing\n").is_err());
        let error = ApiKeys::parse("good\nhunter 2\n").unwrap_err();
        assert!(error.contains("line 2") && !error.contains("hunter"));
        assert!(ApiKeys::parse("sha256:abc").is_err());
    }
}
