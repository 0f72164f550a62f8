//! A voucher that a preview shows: the run would issue it.

use runtime::record::{InputRecord, Offset, Partition};
use runtime::replay::RowState;
use rust_decimal::Decimal;
use schemas::{Timestamp, decimal};

use crate::evaluate::{Evaluator, Issued};

/// A voucher that would be issued, with the first record that earns it.
#[derive(Clone)]
pub struct PreviewedVoucher {
    /// The order.
    pub order_id: String,
    /// The code, which is a bearer secret; empty without a key.
    pub code: String,
    /// The amount.
    pub amount: Decimal,
    /// The currency of the amount.
    pub currency: String,
    /// When the order was sent.
    pub issued_at: Timestamp,
    /// When the voucher expires.
    pub expires_at: Option<Timestamp>,
    /// The partition of the record.
    pub partition: Partition,
    /// The offset of the record.
    pub offset: Offset,
    /// What the table has of the voucher; unknown without a database.
    pub state: Option<RowState>,
}

impl PreviewedVoucher {
    /// Returns the voucher that `record` earns.
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
