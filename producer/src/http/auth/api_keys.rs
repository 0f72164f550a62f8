//! The keys that are known, and how a file names them.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::Caller;

/// The keys that are known, as digests. Cheap to clone.
#[derive(Clone)]
pub struct ApiKeys {
    digests: Arc<[[u8; 32]]>,
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiKeys({} keys)", self.digests.len())
    }
}

impl ApiKeys {
    /// Reads a file's text: a key a line, plain or `sha256:` and 64 hex digits; empty lines and
    /// lines that start with `#` don't count.
    ///
    /// # Errors
    /// A sentence that names the line, never the key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut digests = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            digests
                .push(digest_of_line(line).map_err(|why| format!("line {}: {why}", number + 1))?);
        }
        if digests.is_empty() {
            return Err(
                "no key is in it; write one a line (openssl rand -hex 32 makes one)".to_owned(),
            );
        }
        Ok(Self {
            digests: digests.into(),
        })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.digests.len()
    }

    /// Whose key this is. Takes the same time for every key.
    pub fn identify(&self, key: &[u8]) -> Option<Caller> {
        let digest: [u8; 32] = Sha256::digest(key).into();
        let mut known = subtle::Choice::from(0);
        for one in self.digests.iter() {
            known |= one.ct_eq(&digest);
        }
        bool::from(known).then(|| Caller {
            api_key_id: hex::encode(&digest[..4]),
        })
    }
}

fn digest_of_line(line: &str) -> Result<[u8; 32], &'static str> {
    if let Some(digits) = line.strip_prefix("sha256:") {
        let mut digest = [0; 32];
        hex::decode_to_slice(digits, &mut digest)
            .map_err(|_| "write sha256: and the 64 hex digits of the key's SHA-256")?;
        return Ok(digest);
    }
    if !line.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("a key is visible ASCII without spaces");
    }
    Ok(Sha256::digest(line.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_hashed_keys_are_known_by_the_same_name() {
        let digest = hex::encode(Sha256::digest(b"s3cret"));
        let plain = ApiKeys::parse("# shop\n\n  s3cret  \n").unwrap();
        let hashed = ApiKeys::parse(&format!("sha256:{digest}")).unwrap();
        let caller = plain.identify(b"s3cret");
        assert_eq!(caller, hashed.identify(b"s3cret"));
        assert_eq!(caller.unwrap().api_key_id, digest[..8]);
        assert_eq!(plain.identify(b"s3cre"), None);
        assert_eq!(hashed.identify(digest.as_bytes()), None);
        assert!(!format!("{plain:?}").contains("s3cret"));
    }

    #[test]
    fn a_file_without_usable_keys_is_refused_without_showing_them() {
        assert!(ApiKeys::parse("\n# nothing\n").is_err());
        let error = ApiKeys::parse("good\nhunter 2\n").unwrap_err();
        assert!(error.contains("line 2") && !error.contains("hunter"));
        assert!(ApiKeys::parse("sha256:abc").is_err());
    }
}
