//! The schema registry: registered schemas, and the compatibility level of later versions.

use super::check_result::CheckResult;
use crate::registry::{LEVEL, RegistryError};

/// Checks which addresses of the registry answer. When none does, the checks of the schemas fail.
pub(super) fn answering(answers: &[(String, Result<u32, RegistryError>)]) -> Vec<CheckResult> {
    let is_unavailable =
        |answer: &Result<_, _>| matches!(answer, Err(RegistryError::Unavailable(_)));
    if answers.iter().all(|(_, answer)| is_unavailable(answer)) {
        return Vec::new();
    }
    let result = |(at, (address, answer)): (usize, &(String, Result<u32, RegistryError>))| {
        let name = match answers.len() {
            1 => "registry".to_owned(),
            _ => format!("registry {}", at + 1),
        };
        match answer {
            Err(RegistryError::Unavailable(why)) => CheckResult::warn(
                name,
                format!("request to {address} failed, another address is used: {why}"),
                "start it, or remove it from SCHEMA_REGISTRY_URL",
            ),
            _ => CheckResult::ok(name, format!("{address} answers")),
        }
    };
    answers.iter().enumerate().map(result).collect()
}

/// Checks the schema of `subject`: its id, and the compatibility level of the subject.
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
                format!(
                    "the schema of this version is not registered ({why}): Avro cannot be written"
                ),
                "run processor check --fix, which registers it; if the registry refuses it, an \
                 incompatible schema is registered under this subject",
            );
        }
        Err(error) => return unavailable(name, &error),
    };
    match level {
        Ok(Some(level)) if level == LEVEL => CheckResult::ok(
            name,
            format!("registered as {id}, compatibility level {LEVEL}"),
        ),
        Ok(other) => CheckResult::warn(
            name,
            format!(
                "registered as {id}, but the compatibility level is {}: an incompatible version could \
                 be registered",
                other.as_deref().unwrap_or("the registry's default")
            ),
            format!("run processor check --fix, which sets the level of the subject to {LEVEL}"),
        ),
        Err(error) => unavailable(name, &error),
    }
}

fn unavailable(name: String, error: &RegistryError) -> CheckResult {
    CheckResult::fail(
        name,
        format!("request to the schema registry failed: {error}"),
        "start it, or correct SCHEMA_REGISTRY_URL",
    )
}

#[cfg(test)]
mod tests {
    use super::super::check_result::Level;
    use super::*;

    #[test]
    fn an_unavailable_address_is_a_warning_while_another_answers() {
        let unavailable = || Err(RegistryError::Unavailable("connection refused".to_owned()));
        let unknown = || Err(RegistryError::NotFound("no subject".to_owned()));
        let (a, b) = ("http://a".to_owned(), "http://b".to_owned());
        let results = answering(&[(a.clone(), unavailable()), (b.clone(), unknown())]);
        assert_eq!(results[0].level, Level::Warn);
        assert!(
            results[0].sentence().contains("connection refused"),
            "{results:?}"
        );
        assert_eq!(
            results[1],
            CheckResult::ok("registry 2", "http://b answers")
        );
        let alone = answering(&[(b.clone(), Ok(1))]);
        assert_eq!(alone, [CheckResult::ok("registry", "http://b answers")]);
        assert_eq!(answering(&[(a, unavailable()), (b, unavailable())]), []);
    }

    #[test]
    fn a_schema_is_registered_and_later_ones_must_be_compatible() {
        let level = |text: &str| Ok(Some(text.to_owned()));
        assert_eq!(registered("s", Ok(1), level(LEVEL)).level, Level::Ok);
        assert_eq!(registered("s", Ok(1), level("BACKWARD")).level, Level::Warn);
        assert_eq!(registered("s", Ok(1), Ok(None)).level, Level::Warn);
        let missing = Err(RegistryError::NotFound("no subject".to_owned()));
        let result = registered("s", missing, Ok(None));
        assert_eq!(result.level, Level::Fail);
        assert!(result.finding.contains("not registered"), "{result:?}");
        let unavailable = Err(RegistryError::Unavailable("refused".to_owned()));
        let result = registered("s", unavailable, Ok(None));
        assert!(
            result.sentence().contains("SCHEMA_REGISTRY_URL"),
            "{result:?}"
        );
    }
}
