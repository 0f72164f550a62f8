//! Events that happen independently of the processes: outages, compaction, offsets out of range, forgotten
//! markers, and the workload.

use std::time::Duration;

use crate::world::World;
use crate::world::kafka::ORDER_STATUS;
use crate::world::workload::Workload;

/// Executes one random event; an outage ends by `faults_end`. Returns the pause before the next event.
pub(super) fn happen(world: &mut World, workload: &mut Workload, faults_end: Duration) -> Duration {
    let pause = Duration::from_millis(world.random.below(2500));
    let away = world.now + Duration::from_millis(world.random.between(100, 25_000));
    let away = away.min(faults_end);
    match world.random.below(40) {
        0 => {
            world.note("world", || format!("the broker is away until {away:?}"));
            world.broker_away = away;
        }
        1 => {
            world.note("world", || format!("the database is away until {away:?}"));
            world.database_away = away;
        }
        2 => {
            world.note("world", || format!("the registry is away until {away:?}"));
            world.registry_away = away;
        }
        3 => {
            let group = world.random.place(world.broker.groups.len());
            let partition = world.random.place(world.broker.topic(group).len());
            let partition = i32::try_from(partition).unwrap_or(0);
            world.note("world", || {
                format!("group {group}'s offset of {partition} is out of range until {away:?}")
            });
            world.broker.groups[group].lead_astray(partition);
            world.put_right = away;
        }
        4 => {
            world.note("world", || {
                format!("the broker forgets markers until {away:?}")
            });
            world.broker.forgets_markers = true;
            world.put_right = away;
        }
        5..9 => {
            world.note("world", || "compaction".to_owned());
            for partition in 0..world.broker.topic(ORDER_STATUS).len() {
                let partition = i32::try_from(partition).unwrap_or(0);
                world.broker.log_mut(ORDER_STATUS, partition).compact();
            }
        }
        _ => {
            let before = workload.written.len();
            let World {
                broker,
                random,
                outbox,
                ..
            } = world;
            outbox.change(random);
            workload.write(broker, random);
            let written = workload.written.len() - before;
            world.note("world", || format!("{written} order statuses are written"));
        }
    }
    pause
}
