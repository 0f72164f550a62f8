//! The registry: whether it has our schemas, and what it holds later versions to.

use super::check_result::CheckResult;
use crate::registry::{LEVEL, RegistryError};

/// Judges which of the registry's addresses answer. When none does, the schemas say so.
pub(super) fn answering(answers: &[(String, Result<u32, RegistryError>)]) -> Vec<CheckResult> {
    let is_away = |answer: &Result<_, _>| matches!(answer, Err(RegistryError::Unavailable(_)));
    if answers.iter().all(|(_, answer)| is_away(answer)) {
        return Vec::new();
    }
    let verdict = |(at, (address, answer)): (usize, &(String, Result<u32, RegistryError>))| {
        let name = match answers.len() {
            1 => "registry".to_owned(),
            _ => format!("registry {}", at + 1),
        };
        match answer {
            Err(RegistryError::Unavailable(why)) => CheckResult::warn(
                name,
                format!("{address} gives no answer that can be used; another one is asked: {why}"),
                "start it, or take it out of SCHEMA_REGISTRY_URL",
            ),
            _ => CheckResult::ok(name, format!("{address} answers")),
        }
    };
    answers.iter().enumerate().map(verdict).collect()
}

/// Judges what the registry says of our schema of `subject`: its id, and the subject's level.
pub(super) fn registered(
    subject: &str,
    id: Result<u32, RegistryError>,
    level: Result<Option<String>, RegistryError>,
) -> CheckResult {
    let name = format!("schema {subject}");
    let id = match id {
        Ok(id) => id,
        Err(RegistryError::NotFound(why)) => {
            return CheckResult::fail(
                name,
                format!("this version's schema is not registered ({why}): Avro can't be written"),
                "processor check --fix registers it; if the registry refuses it, an incompatible \
                 schema is registered under this subject",
            );
        }
        Err(error) => return unavailable(name, &error),
    };
    match level {
        Ok(Some(level)) if level == LEVEL => CheckResult::ok(
            name,
            format!("registered as {id}, later versions must be {LEVEL}"),
        ),
        Ok(other) => CheckResult::warn(
            name,
            format!(
                "registered as {id}, but later versions are held to {}: one that can't be read \
                 could be registered",
                other.as_deref().unwrap_or("the registry's default")
            ),
            format!("processor check --fix sets the subject's level to {LEVEL}"),
        ),
        Err(error) => unavailable(name, &error),
    }
}

fn unavailable(name: String, error: &RegistryError) -> CheckResult {
    CheckResult::fail(
        name,
        format!("the registry gives no answer that can be used: {error}"),
        "start it, or see to SCHEMA_REGISTRY_URL",
    )
}

#[cfg(test)]
mod tests {
    use super::super::check_result::Level;
    use super::*;

    #[test]
    fn a_registry_that_is_away_is_warned_of_while_another_answers() {
        let away = || Err(RegistryError::Unavailable("connection refused".to_owned()));
        let unknown = || Err(RegistryError::NotFound("no subject".to_owned()));
        let (a, b) = ("http://a".to_owned(), "http://b".to_owned());
        let said = answering(&[(a.clone(), away()), (b.clone(), unknown())]);
        assert_eq!(said[0].level, Level::Warn);
        assert!(
            said[0].sentence().contains("connection refused"),
            "{said:?}"
        );
        assert_eq!(said[1], CheckResult::ok("registry 2", "http://b answers"));
        let alone = answering(&[(b.clone(), Ok(1))]);
        assert_eq!(alone, [CheckResult::ok("registry", "http://b answers")]);
        assert_eq!(answering(&[(a, away()), (b, away())]), []);
    }

    #[test]
    fn a_schema_is_registered_and_later_ones_are_held_to_it() {
        let level = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(registered("s", Ok(1), level(LEVEL)).level, Level::Ok);
        assert_eq!(registered("s", Ok(1), level("BACKWARD")).level, Level::Warn);
        assert_eq!(registered("s", Ok(1), Ok(None)).level, Level::Warn);
        let missing = Err(RegistryError::NotFound("no subject".to_owned()));
        let said = registered("s", missing, Ok(None));
        assert_eq!(said.level, Level::Fail);
        assert!(said.finding.contains("not registered"), "{said:?}");
        let away = Err(RegistryError::Unavailable("refused".to_owned()));
        let said = registered("s", away, Ok(None));
        assert!(said.sentence().contains("SCHEMA_REGISTRY_URL"), "{said:?}");
    }
}
