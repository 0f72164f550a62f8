//! Certificates for one test: an authority, and who it vouches for.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use stack::PostgresTls;

/// `ca.pem`; `broker.pem`, `.key` and `.both` for whatever listens on 127.0.0.1; `sink.pem` and `.key`
/// for a client; `stranger.pem`, an authority that signed none of them. Removed when dropped.
#[derive(Debug)]
pub struct Certificates {
    folder: PathBuf,
}

impl Certificates {
    /// Makes them, in a folder that belongs to `test` in this process.
    ///
    /// # Errors
    /// Without openssl.
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

    /// The private key of `name` in the form that was usual before PKCS #8.
    ///
    /// # Errors
    /// Without openssl.
    pub fn traditional_key(&self, name: &str) -> Result<PathBuf> {
        self.openssl(&format!(
            "rsa -traditional -in {name}.key -out {name}.traditional.key"
        ))?;
        Ok(self.folder.join(format!("{name}.traditional.key")))
    }

    /// The private key of `name` with a passphrase.
    ///
    /// # Errors
    /// Without openssl.
    pub fn encrypted_key(&self, name: &str) -> Result<PathBuf> {
        self.openssl(&format!(
            "pkey -aes256 -passout pass:hunter2 -in {name}.key -out {name}.encrypted.key"
        ))?;
        Ok(self.folder.join(format!("{name}.encrypted.key")))
    }

    /// What a Postgres on 127.0.0.1 shows its clients.
    pub fn of_postgres(&self) -> PostgresTls {
        PostgresTls {
            certificate: self.folder.join("broker.pem"),
            key: self.folder.join("broker.key"),
        }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// One of the files.
    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
