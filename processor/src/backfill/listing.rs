//! Lists the vouchers that a preview would issue in a file, one per line: CSV or JSON Lines, by the
//! name of the file.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use runtime::lifecycle::Failure;
use runtime::replay::RowState;

use super::previewed_voucher::PreviewedVoucher;

const COLUMNS: &str = "order_id,code,amount,currency,issued_at,expires_at,partition,offset,state";

/// The open file.
pub struct Listing {
    path: PathBuf,
    out: BufWriter<File>,
    csv: bool,
    reveal: bool,
}

impl Listing {
    /// Creates or empties the file. Codes are masked unless `reveal`.
    ///
    /// # Errors
    /// Exit code 2, naming the file.
    pub fn create(path: &Path, reveal: bool) -> Result<Self, Failure> {
        let file = File::create(path).map_err(|error| {
            Failure::bad_setting(format!(
                "--output: cannot write {}: {error}",
                path.display()
            ))
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

    /// Adds a line for each voucher.
    ///
    /// # Errors
    /// Exit code 1 when the file cannot be written.
    pub fn write(&mut self, vouchers: &[PreviewedVoucher]) -> Result<(), Failure> {
        for voucher in vouchers {
            let line = if self.csv {
                csv_line(voucher, self.reveal)
            } else {
                json_line(voucher, self.reveal)
            };
            self.line(&line)?;
        }
        Ok(())
    }

    /// Writes what is buffered.
    ///
    /// # Errors
    /// Exit code 1 when the file cannot be written.
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

/// Masks the code unless `reveal`. The first group is kept: it distinguishes two codes, and cannot be
/// redeemed alone.
fn masked(code: &str, reveal: bool) -> String {
    match code.split_once('-') {
        Some((first, _)) if !reveal => format!("{first}-****-****-****"),
        _ => code.to_owned(),
    }
}

fn csv_line(voucher: &PreviewedVoucher, reveal: bool) -> String {
    [
        quoted(&voucher.order_id),
        masked(&voucher.code, reveal),
        voucher.amount.to_string(),
        voucher.currency.clone(),
        voucher.issued_at.to_string(),
        voucher
            .expires_at
            .map(|at| at.to_string())
            .unwrap_or_default(),
        voucher.partition.to_string(),
        voucher.offset.to_string(),
        voucher
            .state
            .map(RowState::as_str)
            .unwrap_or_default()
            .to_owned(),
    ]
    .join(",")
}

/// Quotes a field as RFC 4180 requires.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

fn json_line(voucher: &PreviewedVoucher, reveal: bool) -> String {
    let code = (!voucher.code.is_empty()).then(|| masked(&voucher.code, reveal));
    serde_json::json!({
        "order_id": voucher.order_id,
        "code": code,
        "amount": voucher.amount.to_string(),
        "currency": voucher.currency,
        "issued_at": voucher.issued_at.to_string(),
        "expires_at": voucher.expires_at.map(|at| at.to_string()),
        "partition": voucher.partition,
        "offset": voucher.offset,
        "state": voucher.state.map(RowState::as_str),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use schemas::Timestamp;

    use super::*;

    fn voucher() -> PreviewedVoucher {
        PreviewedVoucher {
            order_id: "a,\"b\"".to_owned(),
            code: "A527-R3XF-YDHK-X2AD".to_owned(),
            amount: "5.00".parse().unwrap(),
            currency: "EUR".to_owned(),
            issued_at: Timestamp::parse_rfc3339("2026-05-01T00:00:00Z").unwrap(),
            expires_at: None,
            partition: 2,
            offset: 41,
            state: Some(RowState::New),
        }
    }

    #[test]
    fn a_line_masks_the_code_unless_it_is_revealed() {
        assert_eq!(
            csv_line(&voucher(), false),
            "\"a,\"\"b\"\"\",A527-****-****-****,5.00,EUR,2026-05-01T00:00:00Z,,2,41,new"
        );
        assert!(!json_line(&voucher(), false).contains("X2AD"));
        assert!(json_line(&voucher(), true).contains("A527-R3XF-YDHK-X2AD"));
        assert!(csv_line(&voucher(), true).contains("A527-R3XF-YDHK-X2AD"));
    }
}
