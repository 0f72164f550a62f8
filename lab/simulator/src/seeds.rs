//! Many seeds on all cores: a seed is independent of all others.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::mutation::Mutation;
use crate::run::{Done, Simulator};
use crate::world::FaultCounts;
use crate::world::schedule::Keep;

/// The seeds to run.
#[derive(Debug, Clone, Copy)]
pub struct Seeds {
    /// The first seed.
    pub from: u64,
    /// The number of seeds.
    pub count: u64,
    /// The planted bug.
    pub mutation: Option<Mutation>,
}

/// The result of all runs.
#[derive(Debug, Clone, Copy, Default)]
pub struct Report {
    /// The number of seeds that were run.
    pub seeds: u64,
    /// The lowest seed that was found broken. No further seeds are started after the first broken one.
    pub broken: Option<u64>,
    /// The number of faults.
    pub met: FaultCounts,
    /// The number of order statuses that were written.
    pub records: u64,
    /// The wall-clock time of all runs.
    pub took: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.took.as_millis())
            .unwrap_or(u64::MAX)
            .max(1);
        write!(
            f,
            "{} seeds in {}.{} s, {} seeds/s; {} order statuses, {} faults ({} kills, {} zombies); broken: {}",
            self.seeds,
            millis / 1000,
            millis % 1000 / 100,
            self.seeds * 1000 / millis,
            self.records,
            self.met.faults,
            self.met.killed,
            self.met.zombies,
            self.broken
                .map_or_else(|| "none".to_owned(), |seed| format!("seed {seed}")),
        )
    }
}

/// Runs the seeds until one breaks.
pub fn run(seeds: &Seeds) -> Report {
    let began = Instant::now();
    let next = AtomicU64::new(0);
    let broken = AtomicU64::new(u64::MAX);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut report = Report::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores)
            .map(|_| scope.spawn(|| work(seeds, &next, &broken)))
            .collect();
        for worker in workers {
            // A panic outside of a run is a defect of the simulator, so it is passed on.
            match worker.join() {
                Ok((seeds, done)) => {
                    report.seeds += seeds;
                    report.met += done.met;
                    report.records += done.records;
                }
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    let lowest = broken.into_inner();
    report.broken = (lowest != u64::MAX).then_some(lowest);
    report.took = began.elapsed();
    report
}

fn work(seeds: &Seeds, next: &AtomicU64, broken: &AtomicU64) -> (u64, Done) {
    let simulator = Simulator::new();
    let mut all = Done::default();
    let mut count = 0;
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= seeds.count || broken.load(Ordering::Relaxed) != u64::MAX {
            return (count, all);
        }
        let seed = seeds.from.wrapping_add(number);
        count += 1;
        match simulator.run(seed, seeds.mutation, Keep::Nothing).0 {
            Ok(done) => {
                all.met += done.met;
                all.records += done.records;
            }
            Err(_) => {
                broken.fetch_min(seed, Ordering::Relaxed);
            }
        }
    }
}
