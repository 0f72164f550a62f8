use std::time::Duration;

use runtime::trace_context::TraceParent;
use schemas::Status;

use super::super::change::{Action, ChangeRefused};
use super::super::job::{Attempt, CommitPath};
use super::*;
use crate::store::idempotency_keys::Claim;

fn change(order_id: &str, wanted: Status) -> Change {
    Change {
        action: Action::SetStatus {
            order_id: order_id.to_owned(),
            wanted,
            precondition: None,
        },
        claim: None,
        trace: TraceParent::random(),
    }
}

fn push(queue: &Queue, change: Change) -> oneshot::Receiver<Result<Outcome, NotDone>> {
    let (answer, pending) = oneshot::channel();
    queue
        .push(change, answer, Instant::now() + Duration::from_secs(60))
        .unwrap();
    pending
}

fn wanted(group: &Group) -> Vec<(String, Status)> {
    group
        .jobs
        .iter()
        .map(|job| match &job.change.action {
            Action::SetStatus {
                order_id, wanted, ..
            } => (order_id.clone(), *wanted),
            Action::Place(_) => unreachable!(),
        })
        .collect()
}

#[tokio::test]
async fn a_group_has_one_change_per_order_and_the_next_waits_for_it() {
    let queue = Queue::new(10);
    let _answers = [
        push(&queue, change("a", Status::Sent)),
        push(&queue, change("a", Status::Delivered)),
        push(&queue, change("b", Status::Sent)),
    ];
    let first = queue.take().await.unwrap();
    assert_eq!(
        wanted(&first),
        [("a".into(), Status::Sent), ("b".into(), Status::Sent)]
    );
    let early = tokio::time::timeout(Duration::from_millis(20), queue.take()).await;
    assert!(early.is_err(), "another writer has the order");
    drop(first);
    let second = queue.take().await.unwrap();
    assert_eq!(wanted(&second), [("a".into(), Status::Delivered)]);
}

#[tokio::test]
async fn a_second_writer_joins_when_changes_have_waited_or_are_many() {
    let queue = Queue::new(2 * SECOND_WRITER_CHANGES);
    let order = |number: usize| change(&number.to_string(), Status::Sent);
    let _answer = push(&queue, order(0));
    let first = queue.take().await.unwrap();
    let asked = Instant::now();
    let _answer = push(&queue, order(1));
    let second = queue.take().await.unwrap();
    assert!(
        asked.elapsed() >= SECOND_WRITER_DELAY,
        "the second writer joined too early"
    );
    drop((first, second));
    let _answer = push(&queue, order(0));
    let first = queue.take().await.unwrap();
    let _answers: Vec<_> = (1..=SECOND_WRITER_CHANGES)
        .map(|number| push(&queue, order(number)))
        .collect();
    let second = queue.lock().take(Instant::now());
    assert_eq!((first.jobs.len(), second.len()), (1, SECOND_WRITER_CHANGES));
}

#[tokio::test]
async fn only_changes_without_conflicts_take_a_fast_path() {
    let queue = Queue::new(10);
    let keyed = Change {
        claim: Some(Claim {
            api_key_id: String::new(),
            key: "key".to_owned(),
            request_hash: [0; 32],
        }),
        ..change("a", Status::Sent)
    };
    let _answers = [push(&queue, keyed), push(&queue, change("b", Status::Sent))];
    let mut jobs = std::mem::take(&mut queue.take().await.unwrap().jobs);
    assert_eq!(jobs[0].path(), CommitPath::Transaction);
    assert_eq!(jobs[1].path(), CommitPath::SetStatus);
    jobs[1].overtaken = true;
    assert_eq!(jobs[1].path(), CommitPath::Transaction);
    jobs[1].overtaken = false;
    jobs[1].attempt = Some(Attempt {
        order_id: "b".to_owned(),
        version: 2,
        at: schemas::Timestamp::FIRST,
    });
    assert_eq!(jobs[1].path(), CommitPath::Transaction);
}

#[tokio::test]
async fn a_full_queue_refuses_changes_until_one_is_answered() {
    let queue = Queue::new(1);
    let answer = push(&queue, change("a", Status::Sent));
    let (sender, _receiver) = oneshot::channel();
    let refused = queue.push(change("b", Status::Sent), sender, Instant::now());
    assert_eq!(refused, Err(NotDone::Overloaded));
    let mut group = queue.take().await.unwrap();
    group
        .jobs
        .remove(0)
        .answer(Ok(Outcome::Refused(ChangeRefused::OrderNotFound)));
    assert_eq!(
        answer.await,
        Ok(Ok(Outcome::Refused(ChangeRefused::OrderNotFound)))
    );
    push(&queue, change("b", Status::Sent));
}

#[tokio::test]
async fn a_closed_queue_is_emptied_before_the_writers_end() {
    let queue = Queue::new(10);
    let _answer = push(&queue, change("a", Status::Sent));
    queue.close();
    let (sender, _receiver) = oneshot::channel();
    let refused = queue.push(change("b", Status::Sent), sender, Instant::now());
    assert_eq!(refused, Err(NotDone::Closing));
    assert!(queue.take().await.is_some());
    assert!(queue.take().await.is_none());
    assert!(queue.take().await.is_none(), "every writer ends");
}

#[tokio::test]
async fn a_late_change_is_answered_that_nothing_was_done() {
    let queue = Queue::new(10);
    let (sender, receiver) = oneshot::channel();
    queue
        .push(change("a", Status::Sent), sender, Instant::now())
        .unwrap();
    queue.give_up_late(&NotDone::Unavailable);
    assert_eq!(receiver.await, Ok(Err(NotDone::Unavailable)));
}

#[tokio::test]
async fn changes_that_wait_for_one_order_delay_no_other() {
    let queue = Queue::new(10_000);
    let mut answers: Vec<_> = (0..5_000)
        .map(|_| push(&queue, change("hot", Status::Sent)))
        .collect();
    let hot = queue.take().await.unwrap();
    assert_eq!(wanted(&hot), [("hot".into(), Status::Sent)]);
    answers.push(push(&queue, change("cold", Status::Sent)));
    let cold = tokio::time::timeout(Duration::from_secs(5), queue.take());
    let cold = cold
        .await
        .expect("5,000 changes wait, none of them for this order");
    assert_eq!(wanted(&cold.unwrap()), [("cold".into(), Status::Sent)]);
}

#[tokio::test]
async fn a_change_that_met_a_lock_pauses_and_is_not_overtaken() {
    let queue = Queue::new(10);
    let _answers = [
        push(&queue, change("locked", Status::Sent)),
        push(&queue, change("locked", Status::Delivered)),
    ];
    let mut group = queue.take().await.unwrap();
    let job = group.jobs.remove(0);
    group.pause(job);
    drop(group);
    assert!(queue.lock().take(Instant::now()).is_empty(), "it pauses");
    let group = queue.take().await.unwrap();
    assert_eq!(wanted(&group), [("locked".into(), Status::Sent)]);
    assert_eq!(group.jobs[0].path(), CommitPath::Careful);
}

#[tokio::test]
async fn a_change_behind_a_locked_one_is_careful_and_names_what_is_locked() {
    let queue = Queue::new(10);
    let first = push(&queue, change("locked", Status::Sent));
    let _second = push(&queue, change("locked", Status::Delivered));
    let mut group = queue.take().await.unwrap();
    let mut job = group.jobs.remove(0);
    let _ = job.met_lock(Instant::now());
    group.give_up(job, &NotDone::Unavailable);
    drop(group);
    let locked = NotDone::Locked("the order \"locked\"".to_owned());
    assert_eq!(first.await, Ok(Err(locked)));
    let group = queue.take().await.unwrap();
    assert_eq!(wanted(&group), [("locked".into(), Status::Delivered)]);
    assert_eq!(group.jobs[0].path(), CommitPath::Careful);
}

#[tokio::test]
async fn a_late_change_behind_others_is_answered_and_the_others_go_on() {
    let queue = Queue::new(10);
    let _first = push(&queue, change("a", Status::Sent));
    let (sender, late) = oneshot::channel();
    queue
        .push(change("a", Status::Cancelled), sender, Instant::now())
        .unwrap();
    let _third = push(&queue, change("a", Status::Delivered));
    let group = queue.take().await.unwrap();
    queue.give_up_late(&NotDone::Unavailable);
    assert_eq!(late.await, Ok(Err(NotDone::Unavailable)));
    drop(group);
    let group = queue.take().await.unwrap();
    assert_eq!(wanted(&group), [("a".into(), Status::Delivered)]);
}
