//! The addresses that services and shells need, and the file with them, `target/stack/env`.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use base64::Engine;

use crate::backends::{self, Backends, Topics};

const FILE: &str = "env";
const KEY_FILE: &str = "voucher-signing-key";

/// The addresses of a stack whose topics, schemas and databases exist.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    pub(crate) bootstrap_servers: String,
    pub(crate) schema_registry_url: String,
    pub(crate) orders_database_url: String,
    pub(crate) vouchers_database_url: String,
    /// Base64 of 32 random bytes. It is kept with the data, so that codes stay the same after a restart.
    pub(crate) signing_key: String,
}

impl Environment {
    /// Creates topics, schemas and databases where they do not exist yet.
    pub(crate) async fn prepare(backends: &Backends, topics: &Topics) -> Result<Self> {
        let databases = async {
            if backends.postgres().is_ours() {
                Ok((
                    backends.create_database("orders").await?,
                    backends.create_database("vouchers").await?,
                ))
            } else {
                // A user's own database holds both services' tables.
                let url = backends.database_url().to_owned();
                Ok((url.clone(), url))
            }
        };
        let ((), (), (orders_database_url, vouchers_database_url)) = tokio::try_join!(
            backends.create_topics(topics),
            backends.register_schemas(topics),
            databases
        )?;
        Ok(Self {
            bootstrap_servers: backends.bootstrap_servers().to_owned(),
            schema_registry_url: backends.schema_registry_url().to_owned(),
            orders_database_url,
            vouchers_database_url,
            signing_key: signing_key(backends.directory())?,
        })
    }

    fn variables(&self) -> Vec<(&'static str, &str)> {
        vec![
            ("KAFKA_BOOTSTRAP_SERVERS", &self.bootstrap_servers),
            ("SCHEMA_REGISTRY_URL", &self.schema_registry_url),
            ("ORDERS_DATABASE_URL", &self.orders_database_url),
            ("VOUCHERS_DATABASE_URL", &self.vouchers_database_url),
            ("VOUCHER_SIGNING_KEY", &self.signing_key),
        ]
    }

    /// Writes the file with `export` lines. It is removed when the result is dropped.
    pub(crate) fn write(
        &self,
        directory: &Path,
        addresses: &[(&'static str, String)],
    ) -> Result<EnvironmentFile> {
        let mut text = String::new();
        let addresses = addresses
            .iter()
            .map(|(name, value)| (*name, value.as_str()));
        for (name, value) in self.variables().into_iter().chain(addresses) {
            text.push_str(&format!("export {name}={}\n", quoted(value)));
        }
        let path = directory.join(FILE);
        let new = directory.join("env.new");
        let _ = std::fs::remove_file(&new);
        write_secret(&new, &text)?;
        std::fs::rename(&new, &path)
            .with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(EnvironmentFile { path })
    }
}

/// The written file. Dropping it removes the file.
#[derive(Debug)]
pub(crate) struct EnvironmentFile {
    path: PathBuf,
}

impl EnvironmentFile {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for EnvironmentFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Returns the value of a variable in the file of the stack that runs in `directory`. The file of a
/// stack that was killed is ignored.
pub(crate) fn read(directory: &Path, name: &str) -> Option<String> {
    if !backends::is_running(directory) {
        return None;
    }
    let text = std::fs::read_to_string(directory.join(FILE)).ok()?;
    let start = format!("export {name}=");
    let value = text.lines().find_map(|line| line.strip_prefix(&start))?;
    Some(value.trim_matches('\'').replace("'\\''", "'"))
}

fn signing_key(directory: &Path) -> Result<String> {
    let path = directory.join(KEY_FILE);
    let base64 = &base64::engine::general_purpose::STANDARD;
    match std::fs::read_to_string(&path) {
        Ok(key) => {
            let key = key.trim();
            if base64.decode(key).map_or(0, |bytes| bytes.len()) < 32 {
                bail!(
                    "{} does not contain at least 32 bytes in base64: remove it to get a new key",
                    path.display()
                );
            }
            Ok(key.to_owned())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let bytes: [u8; 32] = rand::random();
            let key = base64.encode(bytes);
            write_secret(&path, &format!("{key}\n"))?;
            Ok(key)
        }
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

fn write_secret(path: &Path, text: &str) -> Result<()> {
    std::fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("{} cannot be written", path.display()))
}

fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_removed_at_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let environment = Environment {
            bootstrap_servers: "127.0.0.1:9092".to_owned(),
            schema_registry_url: "http://127.0.0.1:8081".to_owned(),
            orders_database_url: "postgres://u:it's@127.0.0.1/orders?a=1&b=2".to_owned(),
            vouchers_database_url: "postgres://127.0.0.1/vouchers".to_owned(),
            signing_key: signing_key(directory.path()).unwrap(),
        };
        assert_eq!(
            signing_key(directory.path()).unwrap(),
            environment.signing_key,
            "the key stays"
        );
        let file = environment
            .write(
                directory.path(),
                &[("SINK_HTTP_ADDR", "127.0.0.1:1".to_owned())],
            )
            .unwrap();
        let shell = std::process::Command::new("sh")
            .arg("-c")
            .arg(format!(
                ". {}; printf %s \"$ORDERS_DATABASE_URL\"",
                file.path().display()
            ))
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8(shell.stdout).unwrap(),
            environment.orders_database_url
        );
        let read_back = |name| read(directory.path(), name);
        assert_eq!(read_back("SINK_HTTP_ADDR"), None, "no stack runs here");
        let lock = directory.path().join("lock");
        std::fs::write(lock, std::process::id().to_string()).unwrap();
        assert_eq!(
            read_back("ORDERS_DATABASE_URL").as_deref(),
            Some(&*environment.orders_database_url)
        );
        assert_eq!(read_back("SINK_HTTP_ADDR").as_deref(), Some("127.0.0.1:1"));
        assert_eq!(read_back("PATH"), None);
        drop(file);
        assert_eq!(read_back("SINK_HTTP_ADDR"), None);
    }
}
