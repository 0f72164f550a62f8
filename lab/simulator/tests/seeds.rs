//! Every invariant holds for a fixed set of seeds, and for new seeds at each run.

use std::time::{SystemTime, UNIX_EPOCH};

use simulator::run::Simulator;
use simulator::seeds::{Seeds, run};
use simulator::world::schedule::Keep;

const COUNT: u64 = 4_000;

fn all_hold(from: u64) {
    let seeds = Seeds {
        from,
        count: COUNT,
        mutation: None,
    };
    let report = run(&seeds);
    println!("{report}");
    if let Some(seed) = report.broken {
        let (verdict, schedule) = Simulator::new().run(seed, None, Keep::Last);
        panic!(
            "seed {seed}: {verdict:?}\n{}\nagain: cargo run --bin simulator -- --seed {seed} --trace",
            schedule.join("\n")
        );
    }
    assert_eq!(report.seeds, COUNT);
    assert!(
        report.met.zombies > 0 && report.met.killed > 0,
        "faults are met"
    );
}

#[test]
fn the_fixed_seeds_hold() {
    all_hold(0);
}

#[test]
fn fresh_seeds_hold() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let from = now.as_secs() << 20;
    println!("fresh seeds from {from}");
    all_hold(from);
}

#[test]
fn a_seed_has_one_schedule() {
    let simulator = Simulator::new();
    for seed in 0..50 {
        let first = simulator.run(seed, None, Keep::All);
        let second = simulator.run(seed, None, Keep::All);
        assert_eq!(first.1, second.1, "seed {seed}");
    }
}
