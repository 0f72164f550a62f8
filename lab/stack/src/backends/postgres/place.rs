//! The folder that a Postgres keeps its files in, and the user who runs it.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::backends::directory;

/// A user who is not root: Postgres refuses to run as root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct User {
    id: u32,
    group: u32,
}

impl User {
    /// Returns whether the user may enter `folder`.
    fn reaches(self, folder: &Path) -> bool {
        folder.ancestors().all(|folder| {
            std::fs::metadata(folder).is_ok_and(|folder| {
                let mode = folder.mode();
                mode & 0o001 != 0
                    || (folder.gid() == self.group && mode & 0o010 != 0)
                    || (folder.uid() == self.id && mode & 0o100 != 0)
            })
        })
    }
}

/// The folder of a Postgres and the user who runs it. A folder outside the stack's own is removed
/// when this is dropped.
#[derive(Debug)]
pub(in crate::backends) struct Place {
    folder: PathBuf,
    /// Set when the folder is in the system's temporary one.
    removed_at_end: bool,
    /// `None`: our own user.
    user: Option<User>,
}

impl Place {
    /// Makes `directory`, which belongs to Postgres's user alone; without `keep` it is empty.
    ///
    /// Where that user cannot reach it (below a home folder that is closed to others), a folder in
    /// the system's temporary one takes its place, with a name that is derived from `directory`.
    pub(super) fn make(directory: &Path, keep: bool) -> Result<Self> {
        std::fs::create_dir_all(directory)?;
        let directory = directory.canonicalize()?;
        let user = match rustix::process::geteuid().is_root() {
            true => Some(unprivileged_user()?),
            false => None,
        };
        let parent = directory.parent().unwrap_or(&directory);
        let folder = match user {
            Some(user) if !user.reaches(parent) => {
                let name = directory
                    .to_string_lossy()
                    .replace(|c: char| !c.is_ascii_alphanumeric(), "-");
                std::env::temp_dir().join(format!("checkout-postgres{name}"))
            }
            _ => directory.clone(),
        };
        let place = Self {
            removed_at_end: folder != directory && !keep,
            folder,
            user,
        };
        if !keep {
            directory::remove(&place.folder)?;
        }
        place.create()?;
        Ok(place)
    }

    fn create(&self) -> Result<()> {
        let folder = &self.folder;
        std::fs::create_dir_all(folder)?;
        // In the system's temporary folder another user could have put a link of this name.
        if std::fs::symlink_metadata(folder)?.is_symlink() {
            bail!("{} is a link: remove it", folder.display());
        }
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
        self.give(folder)
    }

    /// Gives a file or folder to Postgres's user.
    pub(super) fn give(&self, path: &Path) -> Result<()> {
        if let Some(user) = self.user {
            chown(path, Some(user.id), Some(user.group)).with_context(|| {
                format!("{} cannot be given to Postgres's user", path.display())
            })?;
        }
        Ok(())
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns where the server's data is.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(super) const fn user(&self) -> Option<User> {
        self.user
    }

    /// Returns whether Postgres's user may enter `folder`.
    pub(super) fn reaches(&self, folder: &Path) -> bool {
        self.user.is_none_or(|user| user.reaches(folder))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.removed_at_end {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// Returns the command of a program that runs as `user`.
pub(super) fn command(program: &Path, user: Option<User>) -> Command {
    let mut command = Command::new(program);
    // The caller's folder may be closed to that user.
    command.current_dir("/").env("LC_ALL", "C");
    if let Some(user) = user {
        command.uid(user.id).gid(user.group);
    }
    command
}

/// Returns `postgres` where there is such a user, else `nobody`.
fn unprivileged_user() -> Result<User> {
    let users = std::fs::read_to_string("/etc/passwd").context("/etc/passwd cannot be read")?;
    ["postgres", "nobody"]
        .iter()
        .find_map(|name| user_of(&users, name))
        .context("Postgres refuses to run as root, and there is no user `postgres` or `nobody` to run it as: start the stack as another user")
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

#[cfg(test)]
mod tests {
    use super::*;

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
