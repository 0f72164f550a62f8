//! A model of the vouchers table: statements are atomic, identities and codes are unique.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use sink::columns::Columns;
use sink::ports::{VoucherIdentity, WriteError, Written};

/// The values of one row of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Primary key.
    pub identity: VoucherIdentity,
    /// Unique.
    pub code: String,
    /// The amount of the voucher.
    pub amount: Decimal,
}

/// Copies the rows of a statement, because it may be executed after its process has ended.
pub fn rows_of(columns: &Columns) -> Vec<Row> {
    (0..columns.len())
        .map(|place| Row {
            identity: VoucherIdentity {
                campaign: columns.campaigns.get(place).to_owned(),
                order_id: columns.order_ids.get(place).to_owned(),
            },
            code: columns.codes.get(place).to_owned(),
            amount: columns.amounts[place],
        })
        .collect()
}

/// The table.
#[derive(Debug, Default)]
pub struct Database {
    rows: BTreeMap<VoucherIdentity, (String, Decimal)>,
    codes: BTreeMap<String, VoucherIdentity>,
}

impl Database {
    /// Returns all rows: identity, code, amount.
    pub fn rows(&self) -> impl Iterator<Item = (&VoucherIdentity, &str, Decimal)> {
        self.rows
            .iter()
            .map(|(identity, (code, amount))| (identity, code.as_str(), *amount))
    }

    /// Executes `INSERT .. ON CONFLICT (campaign, order_id) DO NOTHING`.
    ///
    /// # Errors
    /// When another row has one of the codes; nothing is written then.
    pub fn insert(&mut self, rows: &[Row]) -> Result<Written, WriteError> {
        let mut written = Written::default();
        let mut fresh: Vec<&Row> = Vec::new();
        for (place, row) in rows.iter().enumerate() {
            if let Some((code, amount)) = self.rows.get(&row.identity) {
                if *code != row.code || *amount != row.amount {
                    written.different.push(place);
                }
                continue;
            }
            let holder = self.codes.get(&row.code);
            if holder.is_some() || fresh.iter().any(|one| one.code == row.code) {
                return Err(WriteError::CodeClash {
                    holder: holder.filter(|_| rows.len() == 1).cloned(),
                });
            }
            fresh.push(row);
        }
        for row in fresh {
            self.codes.insert(row.code.clone(), row.identity.clone());
            self.rows
                .insert(row.identity.clone(), (row.code.clone(), row.amount));
            written.inserted += 1;
        }
        Ok(written)
    }

    /// Overwrites rows that exist, as an upsert does: a planted bug.
    pub fn replace(&mut self, rows: &[Row]) {
        for row in rows {
            if let Some((old, _)) = self.rows.remove(&row.identity) {
                self.codes.remove(&old);
            }
        }
    }
}
