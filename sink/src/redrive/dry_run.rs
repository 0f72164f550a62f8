//! The table of a preview. Its statements are rolled back, so it lacks the rows that earlier dead
//! letters of the same preview would have written. These rows are remembered here.

use std::collections::BTreeMap;
use std::time::Duration;

use rust_decimal::Decimal;
use schemas::Currency;

use crate::columns::Columns;
use crate::ports::{Table, VoucherIdentity, WriteError, Written};

/// A table that remembers the rows that it would have written. Only for statements of one row.
pub(super) struct DryRun<T> {
    table: T,
    /// The rows that would exist by now.
    rows: BTreeMap<VoucherIdentity, Content>,
    /// Which voucher has which code.
    holders: BTreeMap<String, VoucherIdentity>,
    answer: Option<(Columns, Result<Written, WriteError>)>,
}

#[derive(Debug, PartialEq, Eq)]
struct Content {
    code: String,
    amount: Decimal,
    currency: Currency,
}

impl<T> DryRun<T> {
    /// Wraps a table that rolls its statements back.
    pub(super) const fn of(table: T) -> Self {
        Self {
            table,
            rows: BTreeMap::new(),
            holders: BTreeMap::new(),
            answer: None,
        }
    }

    /// Remembers the row, unless an earlier one of the preview has its code.
    fn remember(
        &mut self,
        written: Written,
        identity: VoucherIdentity,
        content: Content,
    ) -> Result<Written, WriteError> {
        if let Some(holder) = self.holders.get(&content.code) {
            return Err(WriteError::CodeClash {
                holder: Some(holder.clone()),
            });
        }
        self.holders.insert(content.code.clone(), identity.clone());
        self.rows.insert(identity, content);
        Ok(written)
    }
}

fn row_of(columns: &Columns) -> (VoucherIdentity, Content) {
    (
        VoucherIdentity {
            campaign: columns.campaigns.get(0).to_owned(),
            order_id: columns.order_ids.get(0).to_owned(),
        },
        Content {
            code: columns.codes.get(0).to_owned(),
            amount: columns.amounts[0],
            currency: columns.currencies[0],
        },
    )
}

impl<T: Table> Table for DryRun<T> {
    fn start(&mut self, columns: Columns) {
        debug_assert_eq!(columns.len(), 1, "one dead letter at a time");
        let (identity, content) = row_of(&columns);
        match self.rows.get(&identity) {
            Some(existing) => {
                let different = if *existing == content {
                    vec![]
                } else {
                    vec![0]
                };
                let written = Written {
                    inserted: 0,
                    different,
                };
                self.answer = Some((columns, Ok(written)));
            }
            None => self.table.start(columns),
        }
    }

    fn poll(&mut self, timeout: Duration) -> Option<(Columns, Result<Written, WriteError>)> {
        if let Some(answer) = self.answer.take() {
            return Some(answer);
        }
        let (columns, result) = self.table.poll(timeout)?;
        let result = match result {
            Ok(written) if written.inserted > 0 => {
                let (identity, content) = row_of(&columns);
                self.remember(written, identity, content)
            }
            other => other,
        };
        Some((columns, result))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;
    use schemas::{Timestamp, Voucher};

    use super::*;
    use crate::batch::Batch;
    use runtime::record::OwnedRecord;

    /// A table with its two constraints. It keeps its rows, or rolls each statement back.
    #[derive(Debug, Default)]
    struct Model {
        rolls_back: bool,
        rows: BTreeMap<String, (String, Decimal)>,
        under_way: Option<Columns>,
    }

    impl Table for Model {
        fn start(&mut self, columns: Columns) {
            self.under_way = Some(columns);
        }

        fn poll(&mut self, _: Duration) -> Option<(Columns, Result<Written, WriteError>)> {
            let columns = self.under_way.take()?;
            let (identity, content) = row_of(&columns);
            let mut written = Written::default();
            let row = (content.code, content.amount);
            let holder = self.rows.iter().find(|(_, there)| there.0 == row.0);
            if let Some(there) = self.rows.get(&identity.order_id) {
                written.different.extend((*there != row).then_some(0));
            } else if let Some((order_id, _)) = holder {
                let holder = Some(VoucherIdentity {
                    order_id: order_id.clone(),
                    ..identity
                });
                return Some((columns, Err(WriteError::CodeClash { holder })));
            } else {
                written.inserted = 1;
                if !self.rolls_back {
                    self.rows.insert(identity.order_id, row);
                }
            }
            Some((columns, Ok(written)))
        }
    }

    fn columns(order: u8, code: u8, amount: u8) -> Columns {
        let order_id = order.to_string();
        let voucher = Voucher {
            campaign: "order-reward".into(),
            order_id: order_id.as_str().into(),
            code: format!("CODE-{code}").into(),
            amount: amount.into(),
            currency: "EUR".parse().unwrap(),
            issued_at: Timestamp::from_millis(0),
            expires_at: None,
        };
        let mut batch = Batch::default();
        batch.add_row(&OwnedRecord::default(), &voucher);
        let mut columns = Columns::default();
        columns.fill(&batch, 0..1);
        columns
    }

    fn answer(table: &mut impl Table, columns: Columns) -> Result<Written, WriteError> {
        table.start(columns);
        table.poll(Duration::ZERO).unwrap().1
    }

    proptest! {
        #[test]
        fn a_dry_run_gets_the_answers_of_the_run(
            rows in prop::collection::btree_map(0..6_u8, (0..8_u8, 1..3_u8), 0..5),
            dead_letters in prop::collection::vec((0..6_u8, 0..8_u8, 1..3_u8), 0..24),
        ) {
            let mut codes = BTreeSet::new();
            let rows: BTreeMap<_, _> = rows
                .into_iter()
                .filter(|(_, (code, _))| codes.insert(*code))
                .map(|(order, (code, amount))| {
                    (order.to_string(), (format!("CODE-{code}"), Decimal::from(amount)))
                })
                .collect();
            let table = |rolls_back| Model { rolls_back, rows: rows.clone(), under_way: None };
            let mut dry_run = DryRun::of(table(true));
            let mut run = table(false);
            for (order, code, amount) in dead_letters {
                let dry = answer(&mut dry_run, columns(order, code, amount));
                let written = answer(&mut run, columns(order, code, amount));
                prop_assert_eq!(dry, written);
            }
            prop_assert_eq!(dry_run.table.rows, rows);
        }
    }
}
