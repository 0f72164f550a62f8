//! A real Postgres: the one on the machine, else a downloaded one.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};

use crate::backend::{Backend, Ready};
use crate::backends::PostgresTls;
use crate::download::{Cache, POSTGRES_VERSION};
use crate::ports::Port;
use crate::prerequisites;

/// Another user: Postgres refuses to run as root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct User {
    id: u32,
    group: u32,
}

/// Where a Postgres keeps its data; a folder outside the stack's own is removed at the end.
#[derive(Debug)]
pub(crate) struct Place {
    folder: PathBuf,
    /// Set when the folder lies in the system's temporary one.
    removed_at_end: bool,
    user: Option<User>,
}

impl Place {
    /// `directory`, unless Postgres has to run as a user who can't reach it (below a home folder
    /// that is closed to others): then a folder in the system's temporary one, whose name belongs
    /// to `directory`.
    pub(crate) fn choose(directory: &Path, keep: bool) -> Result<Self> {
        std::fs::create_dir_all(directory)?;
        let directory = directory.canonicalize()?;
        let user = if rustix::process::geteuid().is_root() {
            Some(unprivileged_user()?)
        } else {
            None
        };
        let (folder, removed_at_end) = match user {
            Some(user) if !reaches(user, directory.parent().unwrap_or(&directory)) => {
                let name = directory
                    .to_string_lossy()
                    .replace(|c: char| !c.is_ascii_alphanumeric(), "-");
                (
                    std::env::temp_dir().join(format!("checkout-postgres{name}")),
                    !keep,
                )
            }
            _ => (directory, false),
        };
        Ok(Self {
            folder,
            removed_at_end,
            user,
        })
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Who its programs run as, where it is not us.
    pub(crate) const fn user(&self) -> Option<User> {
        self.user
    }

    /// Gives a file to the database's user.
    pub(crate) fn give(&self, file: &Path) -> Result<()> {
        if let Some(user) = self.user {
            chown(file, Some(user.id), Some(user.group))?;
        }
        Ok(())
    }

    /// Makes the folder, which belongs to the database's user alone.
    pub(crate) fn make(&self) -> Result<()> {
        let folder = &self.folder;
        std::fs::create_dir_all(folder)?;
        // In the system's temporary folder another user could have put a link of that name.
        if std::fs::symlink_metadata(folder)?.is_symlink() {
            bail!("{} is a link; remove it", folder.display());
        }
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
        if let Some(user) = self.user {
            chown(folder, Some(user.id), Some(user.group)).with_context(|| {
                format!("{} can't be given to the database's user", folder.display())
            })?;
        }
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.removed_at_end {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// A Postgres on `port` with its data in `place`; not started yet.
pub(crate) async fn prepare(
    cache: &Cache,
    place: &Place,
    log: PathBuf,
    port: &Port,
    fsync: bool,
    tls: Option<&PostgresTls>,
) -> Result<Backend> {
    let user = place.user;
    place.make()?;
    let folder = place.folder.clone();
    let programs = programs(cache, &folder, user).await?;
    let data = folder.join("data");
    if !data.join("PG_VERSION").is_file() {
        initialize(&programs, &data, user).await?;
    }
    if let Some(tls) = tls {
        secure(tls, &data, user)?;
    }
    let ssl = if tls.is_some() { "on" } else { "off" };
    let fsync = if fsync { "on" } else { "off" };
    let settings = vec![format!("fsync={fsync}"), format!("ssl={ssl}")];
    Ok(server(programs, data, user, log, port, settings))
}

/// A server on `port` with its data in `data`, and more settings than those of the stack.
pub(crate) fn server(
    programs: PathBuf,
    data: PathBuf,
    user: Option<User>,
    log: PathBuf,
    port: &Port,
    settings: Vec<String>,
) -> Backend {
    let number = port.number();
    Backend::new(
        "Postgres",
        log,
        Ready::Postgres(url(port, "postgres")),
        Signal::INT, // the fast stop: open sessions are ended
        move || {
            let mut command = program(&programs, "postgres", user);
            command
                .arg("-D")
                .arg(&data)
                .arg("-p")
                .arg(number.to_string());
            let of_the_stack = [
                "listen_addresses=127.0.0.1",
                "unix_socket_directories=",
                "max_connections=200",
                "logging_collector=off",
                "log_destination=stderr",
                "timezone=UTC",
            ];
            for setting in of_the_stack
                .into_iter()
                .chain(settings.iter().map(String::as_str))
            {
                command.arg("-c").arg(setting);
            }
            command
        },
    )
}

/// Who connects from the loopback interface: our own superuser as before, others over TLS.
const HOSTS_WITH_TLS: &str = "\
host    all postgres 127.0.0.1/32 trust
hostssl all all      127.0.0.1/32 scram-sha-256
";

/// Puts the certificate where Postgres looks for it. It takes a key only from its own user, closed
/// to all others.
fn secure(tls: &PostgresTls, data: &Path, user: Option<User>) -> Result<()> {
    for (from, name) in [(&tls.certificate, "server.crt"), (&tls.key, "server.key")] {
        let to = data.join(name);
        std::fs::copy(from, &to)
            .with_context(|| format!("{} can't be copied to Postgres", from.display()))?;
        std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o600))?;
        if let Some(user) = user {
            chown(&to, Some(user.id), Some(user.group))?;
        }
    }
    // Keeps its owner.
    std::fs::write(data.join("pg_hba.conf"), HOSTS_WITH_TLS)?;
    Ok(())
}

/// The URL of a database on `port`.
pub(crate) fn url(port: &Port, database: &str) -> String {
    format!("postgres://postgres@{}/{database}", port.address())
}

/// `url` with another database's name in its path; the query stays.
pub(crate) fn with_database(url: &str, database: &str) -> String {
    let (address, query) = match url.split_once('?') {
        Some((address, query)) => (address, format!("?{query}")),
        None => (url, String::new()),
    };
    let scheme = address.find("://").map_or(0, |at| at + 3);
    let end = address
        .get(scheme..)
        .and_then(|rest| rest.find('/'))
        .map_or(address.len(), |at| scheme + at);
    format!(
        "{}/{database}{query}",
        address.get(..end).unwrap_or(address)
    )
}

/// Whether the database answers.
pub(crate) async fn answers(url: &str) -> Result<()> {
    let answer = async {
        // Without what a pooler does not know.
        let options = PgConnectOptions::from_str(url)?.extra_float_digits(None::<i8>);
        let mut connection = options.connect().await?;
        connection.execute("SELECT 1").await?;
        connection.close().await
    };
    Ok(tokio::time::timeout(Duration::from_secs(5), answer).await??)
}

/// Creates a database on the server of `url` unless it exists.
pub(crate) async fn create_database(url: &str, name: &str) -> Result<()> {
    if name.is_empty()
        || !name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    {
        bail!("{name:?} can't name a database here: letters, digits, - and _ can");
    }
    let mut connection = PgConnection::connect(url).await?;
    let created = connection
        .execute(AssertSqlSafe(format!("CREATE DATABASE \"{name}\"")))
        .await;
    match created {
        Ok(_) => {}
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P04") => {}
        Err(error) => {
            return Err(error).with_context(|| format!("the database {name} could not be created"));
        }
    }
    Ok(connection.close().await?)
}

pub(crate) async fn initialize(programs: &Path, data: &Path, user: Option<User>) -> Result<()> {
    let mut command = program(programs, "initdb", user);
    command.arg("-D").arg(data).args([
        "--username=postgres",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
    ]);
    let output = crate::tool::output(command, &[]).await?;
    if !output.status.success() {
        bail!(
            "Postgres could not be set up: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

pub(crate) fn program(programs: &Path, name: &str, user: Option<User>) -> Command {
    let mut command = Command::new(programs.join(name));
    // The caller's folder may be closed to the user that it runs as.
    command.current_dir("/").env("LC_ALL", "C");
    if let Some(user) = user {
        command.uid(user.id).gid(user.group);
    }
    command
}

/// The folder of Postgres's programs: the machine's, else a downloaded one, copied next to the data
/// where its user can't reach the cache.
async fn programs(cache: &Cache, folder: &Path, user: Option<User>) -> Result<PathBuf> {
    if let Some(programs) = prerequisites::postgres() {
        return Ok(programs);
    }
    let downloaded = cache.postgres(POSTGRES_VERSION).await?;
    reachable(downloaded, folder, user).await
}

/// Downloaded programs, copied next to the data where their user can't reach the cache.
pub(crate) async fn reachable(
    downloaded: PathBuf,
    folder: &Path,
    user: Option<User>,
) -> Result<PathBuf> {
    match user {
        Some(user) if !reaches(user, &downloaded) => {
            let copied = folder.join("programs");
            if !copied.join("bin/postgres").is_file() {
                let mut copy = Command::new("cp");
                copy.arg("-R")
                    .arg(downloaded.parent().unwrap_or(&downloaded))
                    .arg(&copied);
                let output = crate::tool::output(copy, &[]).await?;
                if !output.status.success() {
                    bail!(
                        "Postgres could not be copied: {}",
                        String::from_utf8_lossy(&output.stderr).trim()
                    );
                }
            }
            Ok(copied.join("bin"))
        }
        _ => Ok(downloaded),
    }
}

/// `postgres` where there is such a user, else `nobody`.
fn unprivileged_user() -> Result<User> {
    let users = std::fs::read_to_string("/etc/passwd").context("/etc/passwd can't be read")?;
    ["postgres", "nobody"]
        .iter()
        .find_map(|name| user_of(&users, name))
        .context("Postgres doesn't run as root, and there is no user `postgres` or `nobody` to run it as: start the stack as another user")
}

fn user_of(users: &str, name: &str) -> Option<User> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let mut numbers = fields.skip(1).map(str::parse);
        Some(User {
            id: numbers.next()?.ok()?,
            group: numbers.next()?.ok()?,
        })
    })
}

/// Whether `user` may walk down to `folder`.
fn reaches(user: User, folder: &Path) -> bool {
    folder.ancestors().all(|folder| {
        std::fs::metadata(folder).is_ok_and(|folder| {
            let mode = folder.mode();
            mode & 0o001 != 0
                || (folder.gid() == user.group && mode & 0o010 != 0)
                || (folder.uid() == user.id && mode & 0o100 != 0)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_of_a_url_is_replaced_and_its_query_stays() {
        assert_eq!(
            with_database("postgres://u:p@h:5432/a?sslmode=require", "b"),
            "postgres://u:p@h:5432/b?sslmode=require"
        );
        assert_eq!(with_database("postgres://h", "b"), "postgres://h/b");
        assert_eq!(with_database("postgres://h/", "b"), "postgres://h/b");
    }

    #[test]
    fn a_user_is_found_by_name() {
        let users =
            "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65533:nobody:/:/usr/sbin/nologin\n";
        assert_eq!(
            user_of(users, "nobody"),
            Some(User {
                id: 65534,
                group: 65533
            })
        );
        assert_eq!(user_of(users, "postgres"), None);
    }
}
