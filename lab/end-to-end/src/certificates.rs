//! Certificates for one test: an authority, and those that it signs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use stack::PostgresTls;

/// A folder with `ca.pem`; `broker.pem`, `broker.key` and `broker.both` for servers on 127.0.0.1;
/// `sink.pem` and `sink.key` for a client; and `stranger.pem`, an authority that signed none of the others.
/// Dropping it removes the folder.
#[derive(Debug)]
pub struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// Creates the certificates, in a folder of `test` in this process.
    ///
    /// # Errors
    /// When `openssl` is missing or fails.
    pub fn make(test: &str) -> Result<Self> {
        let name = format!("certificates-{test}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder)?;
        let this = Self { folder };
        let folder = this.folder();
        for name in ["ca", "stranger"] {
            this.openssl(&format!(
                "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} -keyout {name}.key -out {name}.pem"
            ))?;
        }
        std::fs::write(folder.join("broker.ext"), "subjectAltName=IP:127.0.0.1\n")?;
        for name in ["broker", "sink"] {
            this.openssl(&format!(
                "req -newkey rsa:2048 -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"
            ))?;
            let extension = if name == "broker" {
                "-extfile broker.ext"
            } else {
                ""
            };
            this.openssl(&format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out {name}.pem {extension}"
            ))?;
        }
        let key = std::fs::read(folder.join("broker.key"))?;
        let certificate = std::fs::read(folder.join("broker.pem"))?;
        std::fs::write(folder.join("broker.both"), [key, certificate].concat())?;
        Ok(this)
    }

    fn openssl(&self, arguments: &str) -> Result<()> {
        let output = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(&self.folder)
            .output()
            .context("openssl is needed for this test")?;
        ensure!(
            output.status.success(),
            "openssl {arguments}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// Writes the private key of `name` in the form that was used before PKCS #8.
    ///
    /// # Errors
    /// When `openssl` is missing or fails.
    pub fn traditional_key(&self, name: &str) -> Result<PathBuf> {
        self.openssl(&format!(
            "rsa -traditional -in {name}.key -out {name}.traditional.key"
        ))?;
        Ok(self.folder.join(format!("{name}.traditional.key")))
    }

    /// Writes the private key of `name`, encrypted with a passphrase.
    ///
    /// # Errors
    /// When `openssl` is missing or fails.
    pub fn encrypted_key(&self, name: &str) -> Result<PathBuf> {
        self.openssl(&format!(
            "pkey -aes256 -passout pass:hunter2 -in {name}.key -out {name}.encrypted.key"
        ))?;
        Ok(self.folder.join(format!("{name}.encrypted.key")))
    }

    /// Returns the certificate of a Postgres on 127.0.0.1.
    pub fn of_postgres(&self) -> PostgresTls {
        PostgresTls {
            certificate: self.folder.join("broker.pem"),
            key: self.folder.join("broker.key"),
        }
    }

    /// Returns the folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the path of one of the files.
    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
