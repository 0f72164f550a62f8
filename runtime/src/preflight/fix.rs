//! `check --fix`: makes what is missing. What can't be made is told by the check that follows.

use super::check_result::{CheckResult, Report};
use crate::kafka::KafkaSettings;
use crate::provision::{self, TopicPlan};
use crate::registry::Registry;

/// Creates topics that don't exist, and registers schemas with their subjects' level.
pub async fn fix(
    report: &mut Report,
    kafka: &KafkaSettings,
    plans: &[TopicPlan],
    registry: Option<&Registry>,
    subjects: &[(String, &'static str)],
) {
    match provision::create_topics(kafka, plans).await {
        Ok(created) => created
            .iter()
            .for_each(|name| report.made(format!("topic {name}"))),
        Err(failure) => report.add([refused("topics", &failure.to_string())]),
    }
    let Some(registry) = registry else {
        return;
    };
    for (subject, schema) in subjects {
        let is_new = registry.id_of(subject, schema).await.is_err();
        match provision::register_schema(registry, subject, schema).await {
            Ok(_) if is_new => report.made(format!("schema {subject}")),
            Ok(_) => {}
            Err(failure) => report.add([refused("schemas", &failure.to_string())]),
        }
    }
}

/// What `--fix` could not make.
pub fn refused(what: &str, why: &str) -> CheckResult {
    CheckResult::fail(
        format!("--fix {what}"),
        why,
        "make it by hand, or with a user who may",
    )
}
