//! `processor check`: whether topics and schemas are there, and with `--fix`, seeing to it.

use clap::Args;
use runtime::kafka::KafkaSettings;
use runtime::lifecycle::{Failure, Shutdown};
use runtime::registry::{Registry, RegistryError, RegistrySettings};
use runtime::settings::TopicSettings;
use runtime::{preflight, provision};

/// What `processor check` reads from flags and environment variables.
#[derive(Debug, Clone, Args)]
pub struct CheckSettings {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub kafka: KafkaSettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub registry: RegistrySettings,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub topics: TopicSettings,

    /// Create missing topics and register missing schemas.
    #[arg(long)]
    pub fix: bool,

    /// Partitions of topics that are created: chosen once, a topic can't grow.
    #[arg(long, default_value_t = provision::PARTITIONS, value_parser = clap::value_parser!(i32).range(1..=1000))]
    pub partitions: i32,
}

/// Prints one line for each thing looked at.
///
/// # Errors
/// Exit code 1 when something is missing.
pub async fn run(settings: CheckSettings, shutdown: Shutdown) -> Result<(), Failure> {
    let registry = Registry::of(&settings.registry)?;
    let plans = provision::topic_plans(&settings.topics, settings.partitions);
    if settings.fix {
        for name in provision::create_topics(&settings.kafka, &plans).await? {
            println!("made  topic {name}");
        }
        if let Some(registry) = &registry {
            provision::register_schemas(registry, &settings.topics).await?;
        }
    }
    let mut failed = 0;
    for plan in plans {
        let kafka = settings.kafka.clone();
        let shutdown = shutdown.clone();
        let name = plan.name.clone();
        let found = tokio::task::spawn_blocking(move || {
            preflight::topics_exist(&kafka, &[&name], &shutdown)
        })
        .await
        .map_err(|error| Failure::failed(format!("check: {error}")))?;
        failed += u32::from(!report(&format!("topic {}", plan.name), found));
    }
    match &registry {
        None => println!("-     schemas: SCHEMA_REGISTRY_URL is not set, records are JSON"),
        Some(registry) => {
            for (subject, schema) in provision::subjects(&settings.topics) {
                let found = registry.id_of(&subject, schema).await.map(|_| ());
                failed += u32::from(!report(
                    &format!("schema {subject}"),
                    found.map_err(|error: RegistryError| Failure::failed(error)),
                ));
            }
        }
    }
    if failed > 0 {
        return Err(Failure::failed(format!(
            "{failed} missing; processor check --fix makes what is missing"
        )));
    }
    Ok(())
}

fn report(what: &str, found: Result<(), Failure>) -> bool {
    match found {
        Ok(()) => {
            println!("ok    {what}");
            true
        }
        Err(failure) => {
            println!("FAIL  {what}: {failure}");
            false
        }
    }
}
