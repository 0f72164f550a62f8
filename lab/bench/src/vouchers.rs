//! The vouchers of the measurements, one for each order, with codes as the processor derives them.

use anyhow::{Result, anyhow};
use end_to_end::system::SIGNING_KEY;
use processor::signing_keys::SigningKeys;
use rust_decimal::Decimal;
use schemas::{Currency, Timestamp, Voucher};

/// The campaign of all vouchers.
pub const CAMPAIGN: &str = "order-reward";

/// 2026-05-01T00:00:00Z
const BEGIN_MILLIS: i64 = 1_777_593_600_000;

/// Issues vouchers.
pub struct VoucherIssuer {
    keys: SigningKeys,
}

impl VoucherIssuer {
    /// Creates an issuer with the signing key of the tests.
    ///
    /// # Errors
    /// When the key is invalid.
    pub fn new() -> Result<Self> {
        let keys = SigningKeys::single(SIGNING_KEY).map_err(|why| anyhow!(why))?;
        Ok(Self { keys })
    }

    /// Returns the voucher of order `number`.
    pub fn voucher<'a>(&self, number: u32, order_id: &'a str) -> Voucher<'a> {
        let issued_at = Timestamp::from_millis(BEGIN_MILLIS + i64::from(number));
        let code = self.keys.at(issued_at).code(CAMPAIGN, order_id);
        Voucher {
            campaign: CAMPAIGN.into(),
            order_id: order_id.into(),
            code: code.as_str().to_owned().into(),
            amount: Decimal::new(500, 2),
            currency: Currency::EUR,
            issued_at,
            expires_at: None,
        }
    }
}
