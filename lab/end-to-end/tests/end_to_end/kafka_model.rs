//! Compares the simulator's model of Kafka with a real broker: each history is played on both step by step,
//! and every answer must be the one that is written beside the step.

mod broker;
mod model;
mod script;

use std::time::Duration;

use anyhow::Result;
use end_to_end::backends::shared_backends;

use broker::RealBroker;
use model::Model;
use script::Step::{
    Abort, Append, Begin, Commit, CommitOffset, Compact, Init, Join, Offset, Offsets, Polls,
    PollsFatal, Read, ReadUncommitted, Send, TimeOut,
};
use script::Topic::{Statuses, Vouchers};
use script::{Kafka, Step};

/// The transaction timeout on the real Kafka: `SHORT` in histories that wait for it, else `LONG`.
const SHORT: Duration = Duration::from_secs(3);
const LONG: Duration = Duration::from_secs(300);

type History = &'static [(Step, &'static str)];

async fn compare(history: History) -> Result<()> {
    let waits = history.iter().any(|(step, _)| matches!(step, TimeOut));
    let transaction = if waits { SHORT } else { LONG };
    let backends = shared_backends().await;
    let mut broker = RealBroker::open(backends.bootstrap_servers(), transaction).await?;
    let differences = tokio::task::spawn_blocking(move || {
        let mut model = Model::new();
        let mut differences = Vec::new();
        for (number, (step, expected)) in history.iter().enumerate() {
            let modelled = model.play(step, expected);
            let real = broker.play(step, expected);
            if modelled != *expected || real != *expected {
                differences.push(format!(
                    "{}. {step:?}: expected {expected:?}, the model {modelled:?}, Kafka {real:?}",
                    number + 1
                ));
            }
        }
        differences
    })
    .await?;
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
    Ok(())
}

#[tokio::test]
async fn a_committed_record_is_read_and_its_marker_takes_an_offset() -> Result<()> {
    compare(&[
        (Read(Vouchers), "end 0"),
        (Init("one", "id"), "done"),
        (Begin("one"), "done"),
        (Send("one", Vouchers, Some("a"), "1"), "done"),
        (Append(Vouchers, Some("b"), "2"), "done"),
        // Records after an open transaction are hidden too.
        (Read(Vouchers), "end 0"),
        (ReadUncommitted(Vouchers), "0:a=1 1:b=2 end 2"),
        (Commit("one"), "done"),
        (Read(Vouchers), "0:a=1 1:b=2 end 3"),
        (Begin("one"), "done"),
        (Commit("one"), "done"),
        // An empty transaction has no marker.
        (Read(Vouchers), "0:a=1 1:b=2 end 3"),
    ])
    .await
}

#[tokio::test]
async fn an_aborted_record_is_never_read_as_committed() -> Result<()> {
    compare(&[
        (Init("one", "id"), "done"),
        (Begin("one"), "done"),
        (Send("one", Vouchers, Some("a"), "1"), "done"),
        (Abort("one"), "done"),
        (Read(Vouchers), "end 2"),
        (ReadUncommitted(Vouchers), "0:a=1 end 2"),
        (Begin("one"), "done"),
        (Send("one", Vouchers, Some("a"), "2"), "done"),
        (Commit("one"), "done"),
        (Read(Vouchers), "2:a=2 end 4"),
    ])
    .await
}

#[tokio::test]
async fn the_first_open_transaction_hides_what_others_have_committed() -> Result<()> {
    compare(&[
        (Init("one", "first"), "done"),
        (Init("two", "second"), "done"),
        (Begin("one"), "done"),
        (Begin("two"), "done"),
        (Append(Vouchers, Some("before"), "0"), "done"),
        (Send("one", Vouchers, Some("a"), "1"), "done"),
        (Send("two", Vouchers, Some("b"), "2"), "done"),
        (Commit("two"), "done"),
        (Read(Vouchers), "0:before=0 end 1"),
        (Abort("one"), "done"),
        (Read(Vouchers), "0:before=0 2:b=2 end 5"),
    ])
    .await
}

#[tokio::test]
async fn a_takeover_aborts_what_is_open_and_its_predecessor_is_fenced() -> Result<()> {
    compare(&[
        (Init("old", "id"), "done"),
        (Begin("old"), "done"),
        (Send("old", Vouchers, Some("a"), "1"), "done"),
        (Init("new", "id"), "done"),
        (Read(Vouchers), "end 2"),
        (Commit("old"), "fenced"),
        (Begin("new"), "done"),
        (Send("new", Vouchers, Some("b"), "2"), "done"),
        (Commit("new"), "done"),
        (Read(Vouchers), "2:b=2 end 4"),
    ])
    .await
}

#[tokio::test]
async fn a_fenced_producer_writes_nothing_more() -> Result<()> {
    compare(&[
        (Init("old", "id"), "done"),
        (Begin("old"), "done"),
        (Init("new", "id"), "done"),
        (Send("old", Vouchers, Some("a"), "1"), "fenced"),
        (ReadUncommitted(Vouchers), "end 0"),
    ])
    .await
}

#[tokio::test]
async fn a_transaction_that_takes_too_long_is_aborted_and_its_producer_fenced() -> Result<()> {
    compare(&[
        (Init("one", "id"), "done"),
        (Begin("one"), "done"),
        (Send("one", Vouchers, Some("a"), "1"), "done"),
        (TimeOut, "done"),
        (Read(Vouchers), "end 2"),
        (Commit("one"), "fenced"),
        (Init("two", "id"), "done"),
        (Begin("two"), "done"),
        (Send("two", Vouchers, Some("b"), "2"), "done"),
        (Commit("two"), "done"),
        (Read(Vouchers), "2:b=2 end 4"),
    ])
    .await
}

#[tokio::test]
async fn offsets_are_held_back_by_their_transaction_and_gone_with_its_abort() -> Result<()> {
    compare(&[
        (Init("one", "id"), "done"),
        (Join("a", Statuses, "a"), "done"),
        (CommitOffset("a", 1), "done"),
        (Begin("one"), "done"),
        (Offsets("one", "a", 5), "done"),
        (Offset(Statuses), "held back"),
        (Abort("one"), "done"),
        (Offset(Statuses), "1"),
        (Begin("one"), "done"),
        (Offsets("one", "a", 7), "done"),
        (Commit("one"), "done"),
        (Offset(Statuses), "7"),
    ])
    .await
}

#[tokio::test]
async fn offsets_of_a_fenced_producer_are_gone_too() -> Result<()> {
    compare(&[
        (Join("a", Statuses, "a"), "done"),
        (Init("old", "id"), "done"),
        (Begin("old"), "done"),
        (Offsets("old", "a", 5), "done"),
        (Init("new", "id"), "done"),
        (Offset(Statuses), "0"),
        (Commit("old"), "fenced"),
        (Offset(Statuses), "0"),
    ])
    .await
}

#[tokio::test]
async fn offsets_of_an_earlier_generation_are_refused() -> Result<()> {
    compare(&[
        (Join("a", Statuses, "a"), "done"),
        (Join("b", Statuses, "b"), "done"),
        (Init("one", "id"), "done"),
        (Begin("one"), "done"),
        (Offsets("one", "a", 5), "abortable"),
        (Abort("one"), "done"),
        (Begin("one"), "done"),
        (Offsets("one", "b", 6), "done"),
        (Commit("one"), "done"),
        (Offset(Statuses), "6"),
    ])
    .await
}

#[tokio::test]
async fn of_two_members_with_one_instance_id_the_first_is_fenced() -> Result<()> {
    compare(&[
        (Append(Statuses, Some("a"), "1"), "done"),
        (Join("old", Statuses, "same"), "done"),
        (Polls("old"), "0:a=1 end 1"),
        (Join("new", Statuses, "same"), "done"),
        (PollsFatal("old"), "done"),
        (Init("one", "id"), "done"),
        (Begin("one"), "done"),
        (Offsets("one", "old", 1), "abortable"),
        (Abort("one"), "done"),
        // Nothing was committed, so the successor begins at the group's offset.
        (Polls("new"), "0:a=1 end 1"),
        (CommitOffset("new", 1), "done"),
        (Offset(Statuses), "1"),
    ])
    .await
}

#[tokio::test]
async fn a_member_reads_from_the_committed_offset_past_the_markers() -> Result<()> {
    compare(&[
        (Init("one", "id"), "done"),
        (Begin("one"), "done"),
        (Send("one", Statuses, Some("a"), "1"), "done"),
        (Abort("one"), "done"),
        (Begin("one"), "done"),
        (Send("one", Statuses, Some("b"), "2"), "done"),
        (Commit("one"), "done"),
        (Join("a", Statuses, "a"), "done"),
        (Polls("a"), "2:b=2 end 4"),
        (CommitOffset("a", 4), "done"),
        (Append(Statuses, Some("c"), "3"), "done"),
        (Join("b", Statuses, "a"), "done"),
        (Polls("b"), "4:c=3 end 5"),
    ])
    .await
}

#[tokio::test]
async fn a_compacted_topic_takes_no_record_without_a_key() -> Result<()> {
    compare(&[
        (Append(Statuses, None, "1"), "abortable"),
        (Append(Vouchers, None, "1"), "done"),
        (Init("one", "id"), "done"),
        (Begin("one"), "done"),
        (Send("one", Statuses, None, "2"), "abortable"),
        (Abort("one"), "done"),
        (Read(Vouchers), "0:null=1 end 1"),
        (Begin("one"), "done"),
        (Send("one", Vouchers, Some("a"), "3"), "done"),
        (Commit("one"), "done"),
        (Read(Vouchers), "0:null=1 1:a=3 end 3"),
    ])
    .await
}

#[tokio::test]
async fn compaction_keeps_the_last_stable_record_of_a_key_at_its_offset() -> Result<()> {
    compare(&[
        (Init("one", "id"), "done"),
        (Append(Statuses, Some("a"), "1"), "done"),
        (Append(Statuses, Some("b"), "2"), "done"),
        (Append(Statuses, Some("a"), "3"), "done"),
        (Begin("one"), "done"),
        (Send("one", Statuses, Some("c"), "4"), "done"),
        (Abort("one"), "done"),
        (Init("two", "other"), "done"),
        (Begin("two"), "done"),
        // The transaction is open, so the records that it supersedes stay.
        (Send("two", Statuses, Some("b"), "5"), "done"),
        (Append(Statuses, Some("a"), "6"), "done"),
        (Compact(Statuses), "1:b=2 2:a=3 5:b=5 6:a=6 end 7"),
    ])
    .await
}
