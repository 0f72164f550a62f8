//! What to do after an error of Postgres, by SQLSTATE (appendix A of its manual). No other module of the
//! sink looks at SQLSTATEs.

use sqlx::Error;
use sqlx::postgres::PgDatabaseError;

/// What to do after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A row's data is refused, and would be refused again.
    Data,
    /// Another row has a row's code.
    CodeClash,
    /// The database could not execute the statement, and one of its rows may be the reason.
    Ambiguous,
    /// Two transactions conflicted. Repeat the statement soon.
    Conflict,
    /// The database is unavailable, or cannot execute the statement now. Repeat it later, on a new
    /// connection.
    Away,
    /// A person has to fix rights or schema. Repeat the statement later.
    NeedsPerson,
}

/// The constraint of the migration that makes codes unique.
const CODE_CONSTRAINT: &str = "vouchers_code_key";

/// Returns what to do after this error. An error that is not known to be a fault in the data is waited
/// out: a record that is wrongly a dead letter is work for a person, but one that waits is not lost.
pub fn fault_of(error: &Error) -> Fault {
    match error {
        _ if is_ignored(error) => Fault::Ambiguous,
        Error::Database(error) => error
            .try_downcast_ref::<PgDatabaseError>()
            .map_or(Fault::Away, |error| {
                by_code(error.code(), error.constraint())
            }),
        // A value that cannot be encoded for Postgres.
        Error::Encode(_) => Fault::Data,
        _ => Fault::Away,
    }
}

/// The error of a row that the table ignores. Postgres itself reports none.
#[derive(Debug, thiserror::Error)]
#[error(
    "the table takes the row without an error and does not show it: a trigger, a rule or row-level \
     security ignores it"
)]
struct Ignored;

/// Returns the error of a row that the table ignores (see [`Fault::Ambiguous`]).
pub(super) fn ignored() -> Error {
    Error::Encode(Box::new(Ignored))
}

/// Returns whether this is the error of [`ignored`].
pub(super) fn is_ignored(error: &Error) -> bool {
    matches!(error, Error::Encode(source) if source.is::<Ignored>())
}

/// Returns whether a right is missing, or a policy of row-level security refuses a row. Both have the
/// same SQLSTATE.
pub(super) fn is_denied(error: &Error) -> bool {
    error
        .as_database_error()
        .and_then(|error| error.code())
        .is_some_and(|code| code == "42501")
}

/// Returns whether a row exists already, by its identity or by its code.
pub(super) fn is_unique_violation(error: &Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.is_unique_violation())
}

fn by_code(code: &str, constraint: Option<&str>) -> Fault {
    match code {
        "23505" if constraint == Some(CODE_CONSTRAINT) => Fault::CodeClash,
        "40001" | "40P01" => Fault::Conflict,
        // 57014: a statement's time-out (or a person's cancellation). 55P03: a lock's time-out.
        "57014" | "55P03" => Fault::Ambiguous,
        // 54000: a row or an index entry that is too big. 21000: a cardinality violation.
        "21000" | "54000" => Fault::Data,
        _ => match code.get(..2) {
            // Data exceptions; constraints.
            Some("22" | "23") => Fault::Data,
            // Errors that a trigger's function raises.
            Some("P0" | "38" | "39") => Fault::Ambiguous,
            // Authentication; the name of the database; rights, tables, columns.
            Some("28" | "3D" | "3F" | "42") => Fault::NeedsPerson,
            _ => Fault::Away,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_exceptions_and_constraints_are_faults_in_the_data() {
        for code in [
            "21000", "22001", "22003", "22008", "22021", "22P05", "23502", "23503", "23505",
            "23514", "23P01", "54000",
        ] {
            assert_eq!(by_code(code, Some("mine")), Fault::Data, "{code}");
            assert_eq!(by_code(code, None), Fault::Data, "{code}");
        }
    }

    #[test]
    fn a_clash_on_the_code_is_known_by_its_constraint() {
        assert_eq!(by_code("23505", Some(CODE_CONSTRAINT)), Fault::CodeClash);
        assert_eq!(by_code("23514", Some(CODE_CONSTRAINT)), Fault::Data);
        let migration = include_str!("../../../migrations/0001_vouchers.sql");
        assert!(migration.contains(&format!("CONSTRAINT {CODE_CONSTRAINT} UNIQUE (code)")));
    }

    #[test]
    fn transactions_that_met_are_tried_again() {
        for code in ["40001", "40P01"] {
            assert_eq!(by_code(code, None), Fault::Conflict, "{code}");
        }
    }

    #[test]
    fn an_outage_is_waited_out() {
        for code in [
            "08000", "08006", "25006", "53000", "53100", "53200", "53300", "57P01", "57P02",
            "57P03", "58030", "0A000", "XX000", "",
        ] {
            assert_eq!(by_code(code, None), Fault::Away, "{code}");
        }
        for error in [
            Error::PoolTimedOut,
            Error::WorkerCrashed,
            Error::Protocol("cut".to_owned()),
            Error::Io(std::io::ErrorKind::ConnectionReset.into()),
        ] {
            assert_eq!(fault_of(&error), Fault::Away, "{error}");
        }
    }

    #[test]
    fn an_error_that_one_row_may_cause_is_ambiguous() {
        for code in ["57014", "55P03", "P0001", "P0002", "38000"] {
            assert_eq!(by_code(code, None), Fault::Ambiguous, "{code}");
        }
        assert_eq!(fault_of(&ignored()), Fault::Ambiguous);
    }

    #[test]
    fn rights_and_schema_are_a_persons_to_fix() {
        for code in [
            "28000", "28P01", "3D000", "3F000", "42501", "42703", "42P01",
        ] {
            assert_eq!(by_code(code, None), Fault::NeedsPerson, "{code}");
        }
    }
}
