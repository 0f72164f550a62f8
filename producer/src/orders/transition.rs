//! Which status may follow which other one.

use schemas::Status;

/// What a request for a status does to an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// It changes: a new version, and an event.
    Changed,
    /// It has the status already: no new version, no event.
    Unchanged,
    /// The status cannot follow the current one.
    Refused,
}

/// Decides whether an order may change to the status `wanted`: PENDING -> SENT -> DELIVERED; PENDING or
/// SENT -> CANCELLED; the same status again changes nothing.
#[must_use]
pub const fn transition(current: Status, wanted: Status) -> Transition {
    use Status::{Cancelled, Delivered, Pending, Sent};
    match (current, wanted) {
        (Pending, Sent) | (Sent, Delivered) | (Pending | Sent, Cancelled) => Transition::Changed,
        (Pending, Pending) | (Sent, Sent) | (Delivered, Delivered) | (Cancelled, Cancelled) => {
            Transition::Unchanged
        }
        (Pending, Delivered)
        | (Sent, Pending)
        | (Delivered, Pending | Sent | Cancelled)
        | (Cancelled, Pending | Sent | Delivered) => Transition::Refused,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_go_forward_and_never_back() {
        use Status::{Cancelled, Delivered, Pending, Sent};
        let allowed = [
            (Pending, Sent),
            (Sent, Delivered),
            (Pending, Cancelled),
            (Sent, Cancelled),
        ];
        for current in Status::ALL {
            for wanted in Status::ALL {
                let expected = if current == wanted {
                    Transition::Unchanged
                } else if allowed.contains(&(current, wanted)) {
                    Transition::Changed
                } else {
                    Transition::Refused
                };
                assert_eq!(
                    transition(current, wanted),
                    expected,
                    "{current} -> {wanted}"
                );
            }
        }
    }
}
