//! A service's tables in Postgres.

use super::verdict::Verdict;

/// A service's migrations, by number, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MigrationFacts {
    /// Those that this program knows.
    pub known: Vec<i64>,
    /// Those that were applied to the database.
    pub applied: Vec<i64>,
}

/// A database that does not answer.
pub fn absent(error: &str) -> Verdict {
    Verdict::fail(
        "Postgres",
        format!("it does not answer: {error}"),
        "start it, or see to DATABASE_URL (host, port, user, password, database, sslmode)",
    )
}

/// Whether the tables are those that this program was written for.
pub fn migrations(facts: &MigrationFacts, service: &str) -> Verdict {
    let subject = "migrations";
    let list = |numbers: &[i64]| {
        let words: Vec<_> = numbers.iter().map(ToString::to_string).collect();
        words.join(", ")
    };
    let without = |some: &[i64], others: &[i64]| {
        let missing = some.iter().filter(|number| !others.contains(number));
        missing.copied().collect::<Vec<_>>()
    };
    let newer = without(&facts.applied, &facts.known);
    if !newer.is_empty() {
        return Verdict::fail(
            subject,
            format!(
                "the database has {} which this version does not know",
                list(&newer)
            ),
            format!("run the version of the {service} that made them, or a newer one"),
        );
    }
    let missing = without(&facts.known, &facts.applied);
    if !missing.is_empty() {
        return Verdict::fail(
            subject,
            format!("not applied yet: {}", list(&missing)),
            format!("{service} check --fix applies them (so does {service} run)"),
        );
    }
    let newest = facts.known.last().copied().unwrap_or_default();
    Verdict::ok(subject, format!("all applied, up to {newest}"))
}

#[cfg(test)]
mod tests {
    use super::super::verdict::Level;
    use super::*;

    #[test]
    fn migrations_are_all_applied_and_none_is_from_the_future() {
        let verdict = |applied: &[i64]| {
            let facts = MigrationFacts {
                known: vec![1, 2],
                applied: applied.to_vec(),
            };
            migrations(&facts, "sink")
        };
        assert_eq!(verdict(&[1, 2]).level, Level::Ok);
        let behind = verdict(&[1]);
        assert_eq!(behind.level, Level::Fail);
        assert!(behind.finding.ends_with(": 2"), "{behind:?}");
        assert!(behind.sentence().contains("sink check --fix"), "{behind:?}");
        let ahead = verdict(&[1, 2, 3]);
        assert_eq!(ahead.level, Level::Fail);
        assert!(ahead.finding.contains('3'), "{ahead:?}");
    }
}
