//! What to do after an error of Postgres, by SQLSTATE (appendix A of its manual).

use runtime::postgres::Unwritable;
use sqlx::Error;

/// What to do after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The data is refused: a repeat would be refused too.
    Data,
    /// Two transactions conflicted: retry at once.
    Conflict,
    /// Another session holds a lock that the statement needs, on a row or on a table. The connection
    /// and the other rows can still be used.
    Locked,
    /// The statement failed, perhaps because of one of its rows: it took too long, a trigger or a
    /// damaged page stopped it, or a stored value cannot be read. The connection and the other rows can
    /// still be used.
    Statement,
    /// The database is away or temporarily unable to work: retry later, on a new connection.
    Away,
    /// The database takes no writes: refuse all until a probe that writes succeeds.
    Unwritable(Unwritable),
}

/// Returns what to do after an error. An error that is not known to be caused by the data is waited
/// out: a client can repeat a request that was answered 503, but a request that is wrongly refused is
/// lost.
pub fn fault_of(error: &Error) -> Fault {
    if let Some(why) = Unwritable::of(error) {
        return Fault::Unwritable(why);
    }
    match error {
        Error::Database(error) => error.code().map_or(Fault::Away, |code| by_code(&code)),
        // A value that Postgres cannot represent, such as a decimal out of its type's range.
        Error::Encode(_) => Fault::Data,
        Error::Decode(_) | Error::ColumnDecode { .. } => Fault::Statement,
        _ => Fault::Away,
    }
}

fn by_code(code: &str) -> Fault {
    match code {
        "40001" | "40P01" => Fault::Conflict,
        "55P03" => Fault::Locked,
        // statement_timeout, an operator's cancel; pages that cannot be read.
        "57014" | "58030" | "XX000" | "XX001" | "XX002" => Fault::Statement,
        // Cardinality violations; RAISE and ASSERT in a trigger.
        "21000" | "P0001" | "P0004" => Fault::Data,
        // Data exceptions, constraints; 54 is a row or an index entry that is too big.
        _ if code.starts_with("22") || code.starts_with("23") || code.starts_with("54") => {
            Fault::Data
        }
        // Other errors in a trigger.
        _ if code.starts_with("P0") || code.starts_with("38") || code.starts_with("39") => {
            Fault::Statement
        }
        _ => Fault::Away,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_the_fault_of_data_statement_or_database() {
        for code in [
            "22003", "22021", "22P05", "23505", "23514", "54000", "P0001",
        ] {
            assert_eq!(by_code(code), Fault::Data, "{code}");
        }
        for code in ["40001", "40P01"] {
            assert_eq!(by_code(code), Fault::Conflict, "{code}");
        }
        assert_eq!(by_code("55P03"), Fault::Locked);
        for code in ["57014", "XX001", "P0002", "39000"] {
            assert_eq!(by_code(code), Fault::Statement, "{code}");
        }
        for code in ["08006", "53300", "57P01"] {
            assert_eq!(by_code(code), Fault::Away, "{code}");
        }
        assert_eq!(fault_of(&Error::PoolTimedOut), Fault::Away);
        let unreadable = Error::Decode("not a product".into());
        assert_eq!(fault_of(&unreadable), Fault::Statement);
    }
}
