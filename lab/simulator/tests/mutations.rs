//! Each planted bug is found within a stated number of seeds.

use clap::ValueEnum;
use simulator::mutation::Mutation;
use simulator::seeds::{Seeds, run};

/// Returns the number of seeds within which a bug must be found.
const fn within(mutation: Mutation) -> u64 {
    match mutation {
        Mutation::ProducerKept | Mutation::LateOffsetsKeepProducer => 5_000,
        Mutation::NoGeneration
        | Mutation::FencedIsCommitted
        | Mutation::LateCommitKeepsMember
        | Mutation::RelayWithoutLock
        | Mutation::LockOfAStandby
        | Mutation::OutOfRangeResets
        | Mutation::RevocationUntold
        | Mutation::ConflictSwallowed
        | Mutation::ReadsAheadCommits
        | Mutation::DeadLetterUnacknowledged => 1_000,
        _ => 200,
    }
}

#[test]
fn each_planted_bug_is_found() {
    let mut missed = Vec::new();
    for mutation in Mutation::value_variants() {
        let seeds = Seeds {
            from: 0,
            count: within(*mutation),
            mutation: Some(*mutation),
        };
        let report = run(&seeds);
        println!("{mutation:?}: {report}");
        if report.broken.is_none() {
            missed.push(*mutation);
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
