//! The vouchers that a dry run would issue, one a line: CSV or JSON Lines, by the file's name.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use runtime::lifecycle::Failure;
use runtime::record::{InputRecord, Offset, Partition};
use rust_decimal::Decimal;
use schemas::{Timestamp, decimal};

use crate::evaluate::{Evaluator, Issued};

/// A voucher to issue, of the first record that earns it.
#[derive(Clone)]
pub struct Wanted {
    /// The order.
    pub order_id: String,
    /// A bearer secret; empty without a key.
    pub code: String,
    /// What it is worth.
    pub amount: Decimal,
    /// The amount's currency.
    pub currency: String,
    /// When the order was sent.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// Where the record is.
    pub partition: Partition,
    /// Its offset there.
    pub offset: Offset,
    /// What the table has; unknown without a database.
    pub state: Option<State>,
}

impl Wanted {
    /// The voucher that this record earns.
    pub fn of(
        evaluator: &Evaluator,
        record: &impl InputRecord,
        issued: &Issued<'_>,
        has_key: bool,
    ) -> Self {
        let voucher = evaluator.voucher(issued);
        Self {
            order_id: issued.order_id.to_string(),
            code: if has_key {
                voucher.code.into_owned()
            } else {
                String::new()
            },
            amount: decimal::as_money(voucher.amount),
            currency: voucher.currency.as_str().to_owned(),
            issued_at: voucher.issued_at,
            expires_at: voucher.expires_at,
            partition: record.partition(),
            offset: record.offset(),
            state: None,
        }
    }
}

/// A voucher's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// There is none.
    New,
    /// It is as the voucher.
    Same,
    /// It has another amount, currency or code.
    Different,
}

impl State {
    /// As a machine word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Same => "existing",
            Self::Different => "different",
        }
    }
}

const COLUMNS: &str = "order_id,code,amount,currency,issued_at,expires_at,partition,offset,state";

/// An open file.
pub struct Listing {
    path: PathBuf,
    out: BufWriter<File>,
    csv: bool,
    reveal: bool,
}

impl Listing {
    /// Makes the file anew; codes are masked unless `reveal`.
    ///
    /// # Errors
    /// Exit code 2, naming the file.
    pub fn create(path: &Path, reveal: bool) -> Result<Self, Failure> {
        let file = File::create(path).map_err(|error| {
            Failure::bad_setting(format!("--output: can't write {}: {error}", path.display()))
        })?;
        let csv = path.extension().is_some_and(|extension| extension == "csv");
        let mut listing = Self {
            path: path.to_owned(),
            out: BufWriter::new(file),
            csv,
            reveal,
        };
        if csv {
            listing.line(COLUMNS)?;
        }
        Ok(listing)
    }

    /// Adds these.
    ///
    /// # Errors
    /// Exit code 1 when the file can't be written.
    pub fn write(&mut self, wanted: &[Wanted]) -> Result<(), Failure> {
        for one in wanted {
            let line = if self.csv {
                csv_line(one, self.reveal)
            } else {
                json_line(one, self.reveal)
            };
            self.line(&line)?;
        }
        Ok(())
    }

    /// All of it is in the file.
    ///
    /// # Errors
    /// Exit code 1 when it can't be written.
    pub fn finish(mut self) -> Result<(), Failure> {
        self.out.flush().map_err(|error| self.failure(&error))
    }

    fn line(&mut self, line: &str) -> Result<(), Failure> {
        writeln!(self.out, "{line}").map_err(|error| self.failure(&error))
    }

    fn failure(&self, error: &std::io::Error) -> Failure {
        Failure::failed(format!("--output: {}: {error}", self.path.display()))
    }
}

/// The first group tells two codes apart, and is worth nothing alone.
fn shown(code: &str, reveal: bool) -> String {
    match code.split_once('-') {
        Some((first, _)) if !reveal => format!("{first}-****-****-****"),
        _ => code.to_owned(),
    }
}

fn csv_line(one: &Wanted, reveal: bool) -> String {
    [
        quoted(&one.order_id),
        shown(&one.code, reveal),
        one.amount.to_string(),
        one.currency.clone(),
        one.issued_at.to_string(),
        one.expires_at.map(|at| at.to_string()).unwrap_or_default(),
        one.partition.to_string(),
        one.offset.to_string(),
        one.state.map(State::as_str).unwrap_or_default().to_owned(),
    ]
    .join(",")
}

/// As RFC 4180 has it.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

fn json_line(one: &Wanted, reveal: bool) -> String {
    let code = (!one.code.is_empty()).then(|| shown(&one.code, reveal));
    serde_json::json!({
        "order_id": one.order_id,
        "code": code,
        "amount": one.amount.to_string(),
        "currency": one.currency,
        "issued_at": one.issued_at.to_string(),
        "expires_at": one.expires_at.map(|at| at.to_string()),
        "partition": one.partition,
        "offset": one.offset,
        "state": one.state.map(State::as_str),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Wanted {
        Wanted {
            order_id: "a,\"b\"".to_owned(),
            code: "A527-R3XF-YDHK-X2AD".to_owned(),
            amount: "5.00".parse().unwrap(),
            currency: "EUR".to_owned(),
            issued_at: Timestamp::parse_rfc3339("2026-05-01T00:00:00Z").unwrap(),
            expires_at: None,
            partition: 2,
            offset: 41,
            state: Some(State::New),
        }
    }

    #[test]
    fn a_line_masks_the_code_unless_asked() {
        assert_eq!(
            csv_line(&wanted(), false),
            "\"a,\"\"b\"\"\",A527-****-****-****,5.00,EUR,2026-05-01T00:00:00Z,,2,41,new"
        );
        assert!(!json_line(&wanted(), false).contains("X2AD"));
        assert!(json_line(&wanted(), true).contains("A527-R3XF-YDHK-X2AD"));
        assert!(csv_line(&wanted(), true).contains("A527-R3XF-YDHK-X2AD"));
    }
}
