//! What has to be on this machine before anything starts.

use anyhow::Result;

use super::kafka;
use super::options::Options;
use super::origin::Origin;
use super::postgres::Programs;
use super::registry;
use crate::install::Cache;
use crate::progress::Progress;

/// The programs of all parts.
#[derive(Debug)]
pub(super) struct Installed {
    pub(super) kafka: Origin<kafka::Distribution>,
    pub(super) registry: Origin<registry::Distribution>,
    pub(super) postgres: Origin<Programs>,
}

impl Installed {
    /// Finds the programs; downloads those that are missing, one after the other, as Maven's
    /// repository requires.
    ///
    /// # Errors
    /// When a prerequisite is missing, or a download fails.
    pub(super) async fn get(cache: &Cache, options: &Options) -> Result<Self> {
        Ok(Self {
            kafka: match &options.bootstrap_servers {
                None => Origin::Installed(kafka::Distribution::get(cache).await?),
                Some(servers) => Origin::Given(servers.clone()),
            },
            registry: match &options.schema_registry_url {
                None => Origin::Installed(registry::Distribution::get(cache).await?),
                Some(url) => Origin::Given(url.trim_end_matches('/').to_owned()),
            },
            postgres: match &options.database_url {
                None => Origin::Installed(Programs::get(cache).await?),
                Some(url) => Origin::Given(url.clone()),
            },
        })
    }

    /// Once per version of Java: runs Kafka and the registry to record which classes they load.
    /// A failure is ignored, because they also start without that, more slowly.
    pub(super) async fn write_archives(&self, cache: &Cache, progress: &Progress) {
        let kafka = self.kafka.installed().filter(|kafka| kafka.wants_archive());
        let registry = self.registry.installed();
        let registry = registry.filter(|registry| registry.wants_archive());
        if kafka.is_none() && registry.is_none() {
            return;
        }
        let step = progress.step("Preparing quicker starts (once)");
        let Ok(_lock) = cache.lock("archives").await else {
            return;
        };
        let scratch =
            std::env::temp_dir().join(format!("checkout-archives-{}", std::process::id()));
        let of_kafka = async {
            if let Some(kafka) = kafka.filter(|kafka| kafka.wants_archive()) {
                let _ = kafka.write_archive(&scratch.join("kafka")).await;
            }
        };
        let of_registry = async {
            if let Some(registry) = registry.filter(|registry| registry.wants_archive()) {
                let _ = registry.write_archive(&scratch.join("registry")).await;
            }
        };
        tokio::join!(of_kafka, of_registry);
        let _ = std::fs::remove_dir_all(scratch);
        step.done("Prepared quicker starts");
    }
}
