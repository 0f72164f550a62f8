//! The member to which the partitions were assigned.

/// The member to which the partitions were assigned. The group gives no id twice: a client that joins again
/// is another member.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AssignedMember {
    /// No partition is assigned.
    None,
    /// The member with this id.
    Id(String),
    /// The group removed the member before its id was asked for: whoever the client is now, it is another
    /// member.
    Removed,
}

impl AssignedMember {
    /// Notes that partitions were assigned. Asks for the client's id unless others are assigned already.
    pub(super) fn note_assigned(&mut self, id: impl FnOnce() -> Option<String>) {
        if *self == Self::None {
            *self = id().map_or(Self::Removed, Self::Id);
        }
    }

    /// Notes that no partition is assigned any more.
    pub(super) fn forget(&mut self) {
        *self = Self::None;
    }

    /// Returns whether the client with this id is the member. While no partition is assigned, none can
    /// belong to another member, and every client is.
    pub(super) fn is(&self, id: Option<&str>) -> bool {
        match self {
            Self::None => true,
            Self::Id(assigned) => id == Some(assigned.as_str()),
            Self::Removed => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(id: &str) -> impl FnOnce() -> Option<String> {
        let id = id.to_owned();
        || Some(id)
    }

    #[test]
    fn without_a_partition_every_client_is_the_member() {
        let member = AssignedMember::None;
        assert!(member.is(Some("a")) && member.is(None));
    }

    #[test]
    fn a_client_that_joined_again_is_another_member() {
        let mut member = AssignedMember::None;
        member.note_assigned(id("a"));
        assert!(member.is(Some("a")));
        assert!(!member.is(Some("b")), "it has joined again");
        assert!(!member.is(None), "it was removed");
    }

    #[test]
    fn the_first_assignment_counts_until_the_last_partition_is_revoked() {
        let mut member = AssignedMember::None;
        member.note_assigned(id("a"));
        member.note_assigned(|| unreachable!("the id is known"));
        assert!(member.is(Some("a")));
        member.forget();
        member.note_assigned(id("b"));
        assert!(member.is(Some("b")) && !member.is(Some("a")));
    }

    #[test]
    fn a_member_that_was_removed_before_its_id_was_known_is_no_client() {
        let mut member = AssignedMember::None;
        member.note_assigned(|| None);
        assert!(!member.is(None) && !member.is(Some("a")));
        member.note_assigned(id("a"));
        assert!(
            !member.is(Some("a")),
            "its first partitions are not this one's"
        );
        member.forget();
        member.note_assigned(id("a"));
        assert!(member.is(Some("a")));
    }
}
