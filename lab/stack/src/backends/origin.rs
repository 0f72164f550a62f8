//! Where a part of the stack comes from.

/// Where a part of the stack comes from.
#[derive(Debug)]
pub(super) enum Origin<D> {
    /// It is started from what is installed here.
    Installed(D),
    /// The user runs it, at this address.
    Given(String),
}

impl<D> Origin<D> {
    /// Returns what is started here.
    pub(super) const fn installed(&self) -> Option<&D> {
        match self {
            Self::Installed(distribution) => Some(distribution),
            Self::Given(_) => None,
        }
    }
}
