//! The static members of a consumer group, by their `group.instance.id`.
//!
//! The broker names a static member `<group.instance.id>-<uuid>`. It removes a member that sends no
//! heartbeats after its session timeout. So a member that is still there after a longer time belongs
//! to a running process.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, DefaultConsumerContext};

use crate::kafka::KafkaSettings;
use crate::kafka::config::create_client;
use crate::lifecycle::Failure;

/// Whether a group has a member with one `group.instance.id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// No member has this name.
    Absent,
    /// A member has this name and the group is stable, so it is removed without heartbeats.
    Present,
    /// A member has this name, but the group is rebalancing: members stay without heartbeats.
    Rebalancing,
    /// The group's coordinator did not answer.
    Unknown,
}

/// A client that asks for the members of a group without joining it.
pub struct MembershipObserver {
    client: BaseConsumer,
    group: String,
}

impl MembershipObserver {
    /// Creates the client. Does not wait for the broker.
    ///
    /// # Errors
    /// Exit code 2 when librdkafka refuses the configuration.
    pub fn new(settings: &KafkaSettings, group: &str) -> Result<Self, Failure> {
        Ok(Self {
            client: create_client(&settings.observer()?, DefaultConsumerContext, "client")?,
            group: group.to_owned(),
        })
    }

    /// Returns whether the group has a member with this `group.instance.id`. Waits up to `timeout`.
    pub fn membership_of(&self, member: &str, timeout: Duration) -> Membership {
        match members(&self.client, &self.group, timeout) {
            Some((state, members)) => {
                let has_member = members.iter().any(|id| is_named(id, member));
                membership(&state, has_member)
            }
            None => Membership::Unknown,
        }
    }
}

/// Returns whether the group has a member of another instance than this one, whose members are named
/// `<instance>-<number>`. Returns `false` when a broker does not answer within `timeout`: the client asks all of
/// them.
pub(in crate::kafka) fn has_other_instances<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    group: &str,
    instance: &str,
    timeout: Duration,
) -> bool {
    members(client, group, timeout)
        .is_some_and(|(_, members)| members.iter().any(|id| !is_of_instance(id, instance)))
}

/// Returns the group's state as the broker writes it, and the ids of its members; none when the brokers do
/// not answer.
fn members<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    group: &str,
    timeout: Duration,
) -> Option<(String, Vec<String>)> {
    let groups = match client.client().fetch_group_list(Some(group), timeout) {
        Ok(groups) => groups,
        Err(error) => {
            tracing::debug!(%error, group, "cannot get the members of the group");
            return None;
        }
    };
    let Some(found) = groups.groups().iter().find(|one| one.name() == group) else {
        return Some((NO_GROUP.to_owned(), Vec::new()));
    };
    let ids = found.members().iter().map(|member| member.id().to_owned());
    Some((found.state().to_owned(), ids.collect()))
}

/// The state that brokers write of a group that does not exist.
const NO_GROUP: &str = "Dead";

/// `state` is the group's state as the broker writes it; empty when it answered with an error.
fn membership(state: &str, has_member: bool) -> Membership {
    match (state, has_member) {
        ("", _) => Membership::Unknown,
        (_, false) => Membership::Absent,
        ("Stable", true) => Membership::Present,
        (_, true) => Membership::Rebalancing,
    }
}

/// Returns whether this is the member id of a static member with this `group.instance.id`.
fn is_named(member_id: &str, member: &str) -> bool {
    member_id
        .strip_prefix(member)
        .and_then(|rest| rest.strip_prefix('-'))
        .is_some_and(is_uuid)
}

/// Returns whether this is the member id of a static member named `<instance>-<number>`.
fn is_of_instance(member_id: &str, instance: &str) -> bool {
    member_id
        .strip_prefix(instance)
        .and_then(|rest| rest.strip_prefix('-'))
        .and_then(|rest| rest.split_once('-'))
        .is_some_and(|(number, uuid)| number.parse::<u16>().is_ok() && is_uuid(uuid))
}

fn is_uuid(text: &str) -> bool {
    let mut groups = text.split('-');
    [8, 4, 4, 4, 12].into_iter().all(|length| {
        groups.next().is_some_and(|group| {
            group.len() == length && group.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    }) && groups.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "0b6a8c3e-1f0e-4d0c-9b53-5f2f6f7f0a11";

    #[test]
    fn a_member_id_matches_its_instance_id_and_no_shorter_or_longer_one() {
        assert!(is_named(&format!("shop-0-{UUID}"), "shop-0"));
        assert!(is_named(&format!("shop-0-1-{UUID}"), "shop-0-1"));
        // The instance "shop-0" has a task 1.
        assert!(!is_named(&format!("shop-0-1-{UUID}"), "shop-0"));
        assert!(!is_named(&format!("shop-{UUID}"), "shop-0"));
        assert!(!is_named("shop-0", "shop-0"));
    }

    #[test]
    fn the_members_of_an_instance_are_those_of_its_tasks() {
        assert!(is_of_instance(&format!("shop-0-{UUID}"), "shop"));
        assert!(is_of_instance(&format!("shop-0-12-{UUID}"), "shop-0"));
        // "shop-0" has a task 1; "shop" has none that is named so.
        assert!(!is_of_instance(&format!("shop-0-1-{UUID}"), "shop"));
        assert!(!is_of_instance(&format!("shop-0-{UUID}"), "shop-0"));
        assert!(!is_of_instance(&format!("shopping-0-{UUID}"), "shop"));
        assert!(!is_of_instance(&format!("rdkafka-{UUID}"), "shop"));
    }

    #[test]
    fn only_a_member_of_a_stable_group_is_present() {
        assert_eq!(membership("Stable", true), Membership::Present);
        assert_eq!(
            membership("PreparingRebalance", true),
            Membership::Rebalancing
        );
        assert_eq!(membership("Empty", false), Membership::Absent);
        assert_eq!(membership("Dead", false), Membership::Absent);
        assert_eq!(membership("", false), Membership::Unknown);
    }
}
