//! Which fault is injected when: a pure function of the seed.
//!
//! There are two lanes of faults that do not wait for each other, so that faults overlap: one for the
//! services' processes, one for what they depend on. Each lane deals its faults from a shuffled deck,
//! so that a short run has most kinds and a long one has all of them equally often.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde::Serialize;

use crate::stage::proxy::Link;
use crate::stage::{Instance, Target};

/// The kinds that faults are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// SIGKILL of a producer, and a restart.
    ProducerKilled,
    /// SIGKILL of a processor, and a restart.
    ProcessorKilled,
    /// SIGKILL of a sink, and a restart.
    SinkKilled,
    /// SIGSTOP for longer than session, transaction and lock, then SIGCONT.
    Zombie,
    /// SIGSTOP for less than that.
    Paused,
    /// SIGKILL of a broker, and a restart.
    BrokerKilled,
    /// An orderly stop of one of several brokers, and a restart.
    BrokerRestarted,
    /// SIGSTOP of one of several brokers.
    BrokerPaused,
    /// Other brokers lead all partitions, and coordinate all groups and transactions.
    LeadersMoved,
    /// All brokers stopped and started in turn.
    RollingRestart,
    /// SIGKILL of all brokers but one.
    BelowMinInSync,
    /// SIGKILL of Postgres, and a restart.
    PostgresKilled,
    /// SIGSTOP of the registry.
    RegistryPaused,
    /// One service's connections to one part end, and new ones too.
    LinkCut,
    /// One service's connections to one part stay and carry nothing.
    LinkSilent,
    /// One service's connections to one part are slow.
    LinkSlow,
}

impl FaultKind {
    /// Returns the printed name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ProducerKilled => "producer killed",
            Self::ProcessorKilled => "processor killed",
            Self::SinkKilled => "sink killed",
            Self::Zombie => "zombie",
            Self::Paused => "service paused",
            Self::BrokerKilled => "broker killed",
            Self::BrokerRestarted => "broker restarted",
            Self::BrokerPaused => "broker paused",
            Self::LeadersMoved => "leaders moved",
            Self::RollingRestart => "rolling restart",
            Self::BelowMinInSync => "below min ISR",
            Self::PostgresKilled => "Postgres killed",
            Self::RegistryPaused => "registry paused",
            Self::LinkCut => "link cut",
            Self::LinkSilent => "link silent",
            Self::LinkSlow => "link slow",
        }
    }
}

/// One fault, in every detail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Kill(Instance),
    Stop(Instance, FaultKind),
    /// The broker's index, from 0.
    KillBroker(usize),
    RestartBroker(usize),
    PauseBroker(usize),
    /// The number of places by which the replicas of each partition are rotated.
    MoveLeaders(usize),
    RestartInTurn,
    /// The index of the survivor.
    KillAllBut(usize),
    KillPostgres,
    PauseRegistry,
    Link(Instance, Target, Link),
}

impl Fault {
    pub(crate) const fn kind(&self) -> FaultKind {
        match self {
            Self::Kill(Instance::ProducerA | Instance::ProducerB) => FaultKind::ProducerKilled,
            Self::Kill(Instance::ProcessorA | Instance::ProcessorB) => FaultKind::ProcessorKilled,
            Self::Kill(Instance::SinkA | Instance::SinkB) => FaultKind::SinkKilled,
            Self::Stop(_, kind) => *kind,
            Self::KillBroker(_) => FaultKind::BrokerKilled,
            Self::RestartBroker(_) => FaultKind::BrokerRestarted,
            Self::PauseBroker(_) => FaultKind::BrokerPaused,
            Self::MoveLeaders(_) => FaultKind::LeadersMoved,
            Self::RestartInTurn => FaultKind::RollingRestart,
            Self::KillAllBut(_) => FaultKind::BelowMinInSync,
            Self::KillPostgres => FaultKind::PostgresKilled,
            Self::PauseRegistry => FaultKind::RegistryPaused,
            Self::Link(_, _, Link::Slow(_)) => FaultKind::LinkSlow,
            Self::Link(_, _, Link::Silent) => FaultKind::LinkSilent,
            Self::Link(..) => FaultKind::LinkCut,
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = self.kind().name();
        match self {
            Self::Kill(instance) | Self::Stop(instance, _) => {
                write!(f, "{kind}: {}", instance.name())
            }
            Self::Link(instance, target, Link::Slow(by)) => {
                let millis = by.as_millis();
                write!(f, "{kind}: {} to {target:?}, {millis} ms", instance.name())
            }
            Self::Link(instance, target, _) => {
                write!(f, "{kind}: {} to {target:?}", instance.name())
            }
            Self::KillBroker(broker) | Self::RestartBroker(broker) | Self::PauseBroker(broker) => {
                write!(f, "{kind}: {}", broker + 1)
            }
            Self::KillAllBut(broker) => write!(f, "{kind}: all but {}", broker + 1),
            _ => f.write_str(kind),
        }
    }
}

/// A fault with its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    /// The pause before it.
    pub(crate) after: Duration,
    pub(crate) fault: Fault,
    /// How long it lasts.
    pub(crate) lasts: Duration,
}

/// The lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    Services,
    Surroundings,
    /// This many brokers, instead of the other two lanes: then a gap in the flow has one cause.
    Brokers(u8),
}

impl Lane {
    /// Returns the lanes of a run with this many brokers.
    pub(crate) fn all(brokers: u8) -> Vec<Self> {
        match brokers {
            1 => vec![Self::Services, Self::Surroundings],
            several => vec![Self::Brokers(several)],
        }
    }
}

/// The endless faults of one lane.
#[derive(Debug)]
pub(crate) struct Schedule {
    lane: Lane,
    random: StdRng,
    deck: Vec<FaultKind>,
}

impl Schedule {
    pub(crate) fn new(seed: u64, lane: Lane) -> Self {
        // Each lane has its own random numbers.
        let stream = match lane {
            Lane::Services | Lane::Brokers(_) => 0,
            Lane::Surroundings => 1 << 63,
        };
        Self {
            lane,
            random: StdRng::seed_from_u64(seed ^ stream),
            deck: Vec::new(),
        }
    }

    fn draw(&mut self) -> FaultKind {
        if self.deck.is_empty() {
            self.deck = match self.lane {
                Lane::Services => vec![
                    FaultKind::ProducerKilled,
                    FaultKind::ProcessorKilled,
                    FaultKind::ProcessorKilled,
                    FaultKind::SinkKilled,
                    FaultKind::Zombie,
                    FaultKind::Zombie,
                    FaultKind::Zombie,
                    FaultKind::Paused,
                ],
                Lane::Surroundings => vec![
                    FaultKind::BrokerKilled,
                    FaultKind::PostgresKilled,
                    FaultKind::RegistryPaused,
                    FaultKind::LinkCut,
                    FaultKind::LinkCut,
                    FaultKind::LinkSilent,
                    FaultKind::LinkSilent,
                    FaultKind::LinkSlow,
                ],
                Lane::Brokers(_) => vec![
                    FaultKind::BrokerKilled,
                    FaultKind::BrokerKilled,
                    FaultKind::BrokerRestarted,
                    FaultKind::BrokerRestarted,
                    FaultKind::BrokerPaused,
                    FaultKind::BrokerPaused,
                    FaultKind::BrokerPaused,
                    FaultKind::LeadersMoved,
                    FaultKind::LeadersMoved,
                    FaultKind::RollingRestart,
                    FaultKind::BelowMinInSync,
                ],
            };
            self.deck.shuffle(&mut self.random);
        }
        self.deck.pop().unwrap_or(FaultKind::Paused)
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.random.random_range(0..all.len())]
    }

    fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.random.random_range(range))
    }

    fn broker(&mut self) -> usize {
        match self.lane {
            Lane::Services | Lane::Surroundings => 0,
            Lane::Brokers(brokers) => self.random.random_range(0..brokers.into()),
        }
    }

    fn link(&mut self) -> (Instance, Target) {
        let instance = self.one_of(&Instance::ALL);
        (instance, self.one_of(instance.targets()))
    }
}

impl Iterator for Schedule {
    type Item = Planned;

    fn next(&mut self) -> Option<Planned> {
        let kind = self.draw();
        let after = match self.lane {
            Lane::Services | Lane::Surroundings => self.millis(300..2_500),
            // Long enough for the flow to resume before the next fault.
            Lane::Brokers(_) => self.millis(5_000..10_000),
        };
        let (fault, lasts) = match kind {
            FaultKind::ProducerKilled => {
                let instance = self.one_of(&[Instance::ProducerA, Instance::ProducerB]);
                (Fault::Kill(instance), self.millis(0..1_500))
            }
            FaultKind::ProcessorKilled => {
                let instance = self.one_of(&[Instance::ProcessorA, Instance::ProcessorB]);
                (Fault::Kill(instance), self.millis(0..4_000))
            }
            FaultKind::SinkKilled => {
                let instance = self.one_of(&[Instance::SinkA, Instance::SinkB]);
                (Fault::Kill(instance), self.millis(0..4_000))
            }
            // Longer than every timeout of `stage`, the relay's lock (6 s) included.
            FaultKind::Zombie => {
                let instance = self.one_of(&Instance::ALL);
                (Fault::Stop(instance, kind), self.millis(7_000..9_000))
            }
            FaultKind::Paused => {
                let instance = self.one_of(&Instance::ALL);
                (Fault::Stop(instance, kind), self.millis(100..2_500))
            }
            FaultKind::BrokerKilled => {
                let broker = self.broker();
                let longest = match self.lane {
                    Lane::Services | Lane::Surroundings => 3_000,
                    // Longer than its session.
                    Lane::Brokers(_) => 10_000,
                };
                (Fault::KillBroker(broker), self.millis(0..longest))
            }
            FaultKind::BrokerRestarted => {
                let broker = self.broker();
                (Fault::RestartBroker(broker), self.millis(0..3_000))
            }
            // Shorter or longer than its session.
            FaultKind::BrokerPaused => {
                let broker = self.broker();
                (Fault::PauseBroker(broker), self.millis(3_000..12_000))
            }
            FaultKind::LeadersMoved => {
                let rotation = self.random.random_range(1..3);
                (Fault::MoveLeaders(rotation), Duration::ZERO)
            }
            FaultKind::RollingRestart => (Fault::RestartInTurn, Duration::ZERO),
            FaultKind::BelowMinInSync => {
                let survivor = self.broker();
                (Fault::KillAllBut(survivor), self.millis(2_000..8_000))
            }
            FaultKind::PostgresKilled => (Fault::KillPostgres, self.millis(0..3_000)),
            FaultKind::RegistryPaused => (Fault::PauseRegistry, self.millis(1_000..6_000)),
            FaultKind::LinkCut => {
                let (instance, target) = self.link();
                let fault = Fault::Link(instance, target, Link::Cut);
                (fault, self.millis(50..6_000))
            }
            FaultKind::LinkSilent => {
                let (instance, target) = self.link();
                let fault = Fault::Link(instance, target, Link::Silent);
                (fault, self.millis(500..8_000))
            }
            FaultKind::LinkSlow => {
                let (instance, target) = self.link();
                let by = self.millis(20..300);
                let fault = Fault::Link(instance, target, Link::Slow(by));
                (fault, self.millis(2_000..6_000))
            }
        };
        Some(Planned {
            after,
            fault,
            lasts,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(seed: u64, lane: Lane, count: usize) -> Vec<Planned> {
        Schedule::new(seed, lane).take(count).collect()
    }

    #[test]
    fn a_seed_gives_the_same_faults_and_another_one_gives_others() {
        for lane in [Lane::Services, Lane::Surroundings, Lane::Brokers(3)] {
            assert_eq!(faults(7, lane, 50), faults(7, lane, 50));
            assert_ne!(faults(7, lane, 50), faults(8, lane, 50));
        }
    }

    #[test]
    fn even_six_faults_of_the_services_have_a_zombie() {
        for seed in 0..100 {
            let zombies = faults(seed, Lane::Services, 6)
                .iter()
                .filter(|planned| planned.fault.kind() == FaultKind::Zombie)
                .count();
            assert!(zombies > 0, "seed {seed}");
        }
    }
}
