//! The statuses of an order.

use std::fmt;
use std::str::FromStr;

/// The status of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// Ordered, not sent yet.
    Pending,
    /// Sent: the voucher is earned.
    Sent,
    /// Arrived.
    Delivered,
    /// Cancelled, before or after it was sent.
    Cancelled,
}

/// The text names no status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("one of PENDING, SENT, DELIVERED and CANCELLED")]
pub struct UnknownStatus;

impl Status {
    /// Every status, in the order of an order's life.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Sent, Self::Delivered, Self::Cancelled];

    /// Returns the name as it is written, in upper case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Sent => "SENT",
            Self::Delivered => "DELIVERED",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// Takes ASCII letters of any case. The fast path is upper case.
    #[inline(always)]
    pub(crate) fn of(text: &[u8]) -> Option<Self> {
        match text {
            b"PENDING" => Some(Self::Pending),
            b"SENT" => Some(Self::Sent),
            b"DELIVERED" => Some(Self::Delivered),
            b"CANCELLED" => Some(Self::Cancelled),
            _ => Self::of_any_case(text),
        }
    }

    #[cold]
    fn of_any_case(text: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|status| text.eq_ignore_ascii_case(status.as_str().as_bytes()))
    }
}

impl FromStr for Status {
    type Err = UnknownStatus;

    /// Takes ASCII letters of any case.
    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        Self::of(text.as_bytes()).ok_or(UnknownStatus)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
