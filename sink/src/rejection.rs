//! The dead letter of a row that the database rejects: its cause, in a sentence that shows no code.

use std::collections::BTreeSet;
use std::ops::Range;

use schemas::{Malformed, Reason};

use crate::batch::Batch;
use crate::ports::VoucherIdentity;

/// Returns the cause of the dead letter of a row whose code `holder` has; `None` if `holder` is the row's
/// own voucher. Names the holder, so that a person can compare the two, but not the code.
pub fn code_taken(batch: &Batch, row: usize, holder: &VoucherIdentity) -> Option<Malformed> {
    let VoucherIdentity { campaign, order_id } = holder;
    if batch.campaign(row) == campaign && batch.order_id(row) == order_id {
        return None;
    }
    Some(Malformed::new(
        Reason::CodeTaken,
        format!("another voucher holds the code: order {order_id} of campaign {campaign}"),
    ))
}

/// Returns a sentence of the database about a statement for these rows of the batch, such as a trigger's,
/// without the codes of the rows: codes are never shown.
pub fn without_codes(batch: &Batch, rows: Range<usize>, sentence: &str) -> String {
    let codes: BTreeSet<&str> = rows
        .map(|row| batch.code(row))
        .filter(|code| sentence.contains(*code))
        .collect();
    // In reverse order a code is replaced before its own prefixes, so that no rest of it remains.
    let codes = codes.into_iter().rev();
    codes.fold(sentence.to_owned(), |sentence, code| {
        sentence.replace(code, "****")
    })
}

/// Returns the cause of the dead letter of a row that the database refused alone. `sentence` is the
/// database's, [without the code](without_codes).
pub fn rejected(sentence: &str) -> Malformed {
    Malformed::new(
        Reason::RejectedByDatabase,
        format!("the database refuses the row: {sentence}"),
    )
}

#[cfg(test)]
mod tests {
    use runtime::record::{InputRecord as _, OwnedRecord};
    use schemas::{ValueFormat, Voucher};

    use super::*;

    /// A batch of one row for each code, all of one order.
    fn batch_with(codes: &[&str]) -> Batch {
        let mut batch = Batch::default();
        for code in codes {
            let value = format!(
                r#"{{"campaign":"order-reward","order_id":"17","code":"{code}","amount":"5.00","currency":"EUR","issued_at":"2026-01-01T00:00:00Z","expires_at":null}}"#
            );
            let record = OwnedRecord {
                key: Some(b"17".to_vec()),
                value: Some(value.clone().into_bytes()),
                ..OwnedRecord::default()
            };
            let voucher = Voucher::read(record.key(), value.as_bytes(), ValueFormat::Json).unwrap();
            batch.add_row(&record, &voucher);
        }
        batch
    }

    #[test]
    fn a_code_is_taken_by_another_voucher_only() {
        let held_by = |campaign: &str, order_id: &str| {
            let holder = VoucherIdentity {
                campaign: campaign.to_owned(),
                order_id: order_id.to_owned(),
            };
            code_taken(&batch_with(&["SECRET"]), 0, &holder).map(|cause| cause.message().to_owned())
        };
        assert_eq!(held_by("order-reward", "17"), None);
        for (campaign, order_id) in [("order-reward", "16"), ("winter", "17")] {
            let message = held_by(campaign, order_id).unwrap();
            let holder = format!("order {order_id} of campaign {campaign}");
            assert!(message.contains(&holder), "{message}");
            assert!(!message.contains("SECRET"), "{message}");
        }
    }

    #[test]
    fn a_sentence_of_the_database_is_shown_without_the_code() {
        let sentence = "the trigger saw SECRET twice: SECRET";
        let sentence = without_codes(&batch_with(&["SECRET"]), 0..1, sentence);
        assert_eq!(sentence, "the trigger saw **** twice: ****");
        assert!(rejected(&sentence).message().contains(&sentence));
    }

    #[test]
    fn a_sentence_about_several_rows_has_none_of_their_codes() {
        let batch = batch_with(&["FIRST", "FIRST-2", "OTHER", "FIRST-2"]);
        let sentence = "FIRST-2 and FIRST, not OTHER";
        let shown = without_codes(&batch, 0..4, sentence);
        assert_eq!(shown, "**** and ****, not ****");
        assert_eq!(
            without_codes(&batch, 2..3, sentence),
            "FIRST-2 and FIRST, not ****"
        );
        // Whatever the codes are, the sentence does not grow with each of them.
        let stars = batch_with(&["*"; 64]);
        assert_eq!(without_codes(&stars, 0..64, "2 * 3"), "2 **** 3");
    }
}
