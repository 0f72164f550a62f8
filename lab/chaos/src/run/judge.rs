//! Compares again what an earlier run left in its folder.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use end_to_end::system::TestSystem;
use stack::Backends;

use super::directory::Directory;
use crate::journal::{self, Entry};
use crate::stage;
use crate::verdict::observed::observe;
use crate::verdict::{self, Judgement};

/// What a run has left.
struct Evidence {
    journal: Vec<Entry>,
    /// The folder of the backends.
    data: PathBuf,
    brokers: u8,
    /// The name of the flow.
    flow: String,
}

/// Compares the journal in `folder` with its topics and tables, read from a copy: the folder stays
/// as it is.
///
/// # Errors
/// When the folder is not that of a run, or the backends do not start on the copy, which is then
/// kept with their logs.
pub async fn judge(folder: &Path) -> Result<Judgement> {
    let evidence = Evidence::read(folder)?;
    let directory = Directory::create("not-judged")?;
    let judgement = evidence.judge_on(&directory.path.join("stack")).await;
    directory.close(judgement.is_err());
    judgement
}

impl Evidence {
    fn read(folder: &Path) -> Result<Self> {
        let data = folder.join("stack");
        // A link would be copied as a link.
        let data = data
            .canonicalize()
            .with_context(|| format!("{} cannot be read", data.display()))?;
        ensure!(
            data.join("postgres/data").is_dir(),
            "{} has no data of Postgres",
            data.display()
        );
        // The logs of the services are in a folder of the flow's name.
        let logs = folders(&data.join("logs"))?;
        let [flow] = logs.as_slice() else {
            bail!("{} has the logs of {} flows", data.display(), logs.len());
        };
        Ok(Self {
            journal: journal::read(&folder.join("journal.jsonl"))?,
            brokers: folders(&data.join("kafka"))?.len().try_into()?,
            flow: flow.clone(),
            data,
        })
    }

    /// Starts the backends on a copy of the data, and compares.
    async fn judge_on(self, copy: &Path) -> Result<Judgement> {
        copy_all(&self.data, copy)?;
        let mut options = stage::options(copy, self.brokers);
        options.keep = true;
        // No record goes away, however old the data is.
        let setting = ("log.cleaner.enable".to_owned(), "false".to_owned());
        options.broker_settings.push(setting);
        let backends = Backends::start(options)
            .await
            .context("the local stack does not start on the copy")?;
        let system = TestSystem::named(self.flow, Arc::new(backends), true).await?;
        Ok(verdict::judge(&self.journal, &observe(&system).await?))
    }
}

/// Returns the names of the folders in a folder.
fn folders(path: &Path) -> Result<Vec<String>> {
    let entries =
        std::fs::read_dir(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(entries
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect())
}

/// Copies a folder with its owners and rights, on which Postgres insists.
fn copy_all(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("cp")
        .args(["-a", "--"])
        .args([from, to])
        .status()
        .context("cp does not start")?;
    ensure!(status.success(), "{} was not copied", from.display());
    Ok(())
}
