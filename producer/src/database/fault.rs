//! What an error of Postgres asks for: one place, by SQLSTATE (appendix A of its manual).

use runtime::postgres::Unwritable;
use sqlx::Error;

/// What to do after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The data is refused: again would be refused again.
    Data,
    /// Two transactions met: the same again, at once.
    Conflict,
    /// The database is away, or can't right now: the same again, later, on a new connection.
    Away,
    /// The database takes no writes: refused at once, until a probe that writes succeeds.
    Unwritable(Unwritable),
}

/// What this error asks for. Whatever is not known to be the data's fault is waited out: a request
/// that is answered 503 can be repeated, one that is wrongly refused is lost.
pub fn fault_of(error: &Error) -> Fault {
    if let Some(why) = Unwritable::of(error) {
        return Fault::Unwritable(why);
    }
    match error {
        Error::Database(error) => error.code().map_or(Fault::Away, |code| by_code(&code)),
        // A value that Postgres has no form for, such as a decimal out of its type's range.
        Error::Encode(_) => Fault::Data,
        _ => Fault::Away,
    }
}

fn by_code(code: &str) -> Fault {
    match code {
        "40001" | "40P01" => Fault::Conflict,
        // Cardinality, data exceptions, constraints; 54 is a row or an index entry that is too big.
        "21000" => Fault::Data,
        _ if code.starts_with("22") || code.starts_with("23") || code.starts_with("54") => {
            Fault::Data
        }
        _ => Fault::Away,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_faults_in_the_data_are_the_datas() {
        for code in ["22003", "22021", "22P05", "23505", "23514", "54000"] {
            assert_eq!(by_code(code), Fault::Data, "{code}");
        }
        for code in ["40001", "40P01"] {
            assert_eq!(by_code(code), Fault::Conflict, "{code}");
        }
        for code in ["08006", "53300", "55P03", "57P01", "57014", "XX000"] {
            assert_eq!(by_code(code), Fault::Away, "{code}");
        }
        assert_eq!(fault_of(&Error::PoolTimedOut), Fault::Away);
    }
}
