//! Questions about the cluster, asked by clients that are in no group.
//!
//! | module | subject | used by |
//! |---|---|---|
//! | `broker_probe` | whether the brokers answer for a topic | each service, beside its loops |
//! | `group_members` | whether a group has a static member of a name | a processor task that was fenced |
//! | `group_progress` | how far a group has read a topic | a backfill that gives way |
//! | `log_ends` | where the logs of partitions end | `consumer`, `group_progress` |
//! | `access_control` | what this user may not do, and the command that allows it | commands and `check` |

mod access_control;
mod broker_probe;
mod group_members;
mod group_progress;
mod log_ends;

pub(super) use access_control::explained;
pub use access_control::{Right, committed_offsets, is_refusal};
pub use broker_probe::BrokerProbe;
pub(in crate::kafka) use group_members::has_other_instances;
pub use group_members::{Membership, MembershipObserver};
pub use group_progress::GroupProgress;
pub(super) use log_ends::{ends_of, log_ends};
