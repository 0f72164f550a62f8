//! Whether a consumer group has a static member of a given name.
//!
//! The broker names a static member `<group.instance.id>-<uuid>`. A member that nobody heartbeats
//! disappears after its session timeout, so a name that is still there after a longer time belongs
//! to a process that lives.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::KafkaSettings;
use super::settings::SESSION_TIMEOUT;
use crate::lifecycle::Failure;

/// What a group says about one `group.instance.id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// No member has this name.
    Absent,
    /// A member has it, and the group is stable: its session timeout runs.
    Present,
    /// A member has it, but the group is rebalancing: members stay without heartbeats meanwhile.
    Rebalancing,
    /// The group's coordinator did not answer.
    Unknown,
}

/// A client that asks a group for its members without being one.
pub struct MembershipObserver {
    client: BaseConsumer,
    group: String,
}

impl MembershipObserver {
    /// Builds the client. Does not wait for the broker.
    ///
    /// # Errors
    /// Exit code 2 when librdkafka refuses the configuration.
    pub fn new(settings: &KafkaSettings, group: &str) -> Result<Self, Failure> {
        let client = settings
            .observer()?
            .create()
            .map_err(|error| Failure::bad_setting(format!("Kafka client: {error}")))?;
        Ok(Self {
            client,
            group: group.to_owned(),
        })
    }

    /// Whether the group has a member with this `group.instance.id`. Waits up to `timeout`.
    pub fn look_for(&self, instance: &str, timeout: Duration) -> Membership {
        let groups = match self
            .client
            .client()
            .fetch_group_list(Some(&self.group), timeout)
        {
            Ok(groups) => groups,
            Err(error) => {
                tracing::debug!(%error, group = self.group, "the group's members are not known");
                return Membership::Unknown;
            }
        };
        let Some(group) = groups.groups().iter().find(|one| one.name() == self.group) else {
            return Membership::Absent;
        };
        let mut members = group.members().iter();
        membership(
            group.state(),
            members.any(|member| is_named(member.id(), instance)),
        )
    }
}

/// `state` is the group's, as the broker writes it; empty when it answered with an error.
fn membership(state: &str, has_member: bool) -> Membership {
    match (state, has_member) {
        ("", _) => Membership::Unknown,
        (_, false) => Membership::Absent,
        ("Stable", true) => Membership::Present,
        (_, true) => Membership::Rebalancing,
    }
}

/// Whether the broker made this member id for a static member called `instance`.
fn is_named(member_id: &str, instance: &str) -> bool {
    member_id
        .strip_prefix(instance)
        .and_then(|rest| rest.strip_prefix('-'))
        .is_some_and(is_uuid)
}

fn is_uuid(text: &str) -> bool {
    let mut groups = text.split('-');
    [8, 4, 4, 4, 12].into_iter().all(|length| {
        groups.next().is_some_and(|group| {
            group.len() == length && group.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    }) && groups.next().is_none()
}

/// How long the group keeps a member of this configuration that it does not hear of.
pub fn session_timeout(config: &ClientConfig) -> Duration {
    config
        .get("session.timeout.ms")
        .and_then(|millis| millis.parse().ok())
        .map_or(SESSION_TIMEOUT, Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "0b6a8c3e-1f0e-4d0c-9b53-5f2f6f7f0a11";

    #[test]
    fn a_member_is_known_by_its_instance_id_and_not_by_a_longer_one() {
        assert!(is_named(&format!("shop-0-{UUID}"), "shop-0"));
        assert!(is_named(&format!("shop-0-1-{UUID}"), "shop-0-1"));
        // The instance "shop-0" has a task 1.
        assert!(!is_named(&format!("shop-0-1-{UUID}"), "shop-0"));
        assert!(!is_named(&format!("shop-{UUID}"), "shop-0"));
        assert!(!is_named("shop-0", "shop-0"));
    }

    #[test]
    fn only_a_member_of_a_stable_group_has_to_heartbeat() {
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
