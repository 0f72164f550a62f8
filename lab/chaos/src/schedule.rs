//! Which fault comes when: a pure function of the seed.
//!
//! Faults come in two lanes that don't wait for each other, so that they overlap: one for the
//! services' processes, one for what they talk to. Each lane deals its faults from a shuffled deck,
//! so that a short run has seen most kinds and a long one all of them equally often.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde::Serialize;

use crate::proxy::Link;
use crate::stage::{Instance, Target};

/// What a fault is counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
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
    /// SIGKILL of the broker, and a restart.
    BrokerKilled,
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

impl Kind {
    /// As it is printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ProducerKilled => "producer killed",
            Self::ProcessorKilled => "processor killed",
            Self::SinkKilled => "sink killed",
            Self::Zombie => "zombie",
            Self::Paused => "service paused",
            Self::BrokerKilled => "broker killed",
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
    Stop(Instance, Kind),
    KillBroker,
    KillPostgres,
    PauseRegistry,
    Link(Instance, Target, Link),
}

impl Fault {
    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Self::Kill(Instance::ProducerA | Instance::ProducerB) => Kind::ProducerKilled,
            Self::Kill(Instance::ProcessorA | Instance::ProcessorB) => Kind::ProcessorKilled,
            Self::Kill(Instance::SinkA | Instance::SinkB) => Kind::SinkKilled,
            Self::Stop(_, kind) => *kind,
            Self::KillBroker => Kind::BrokerKilled,
            Self::KillPostgres => Kind::PostgresKilled,
            Self::PauseRegistry => Kind::RegistryPaused,
            Self::Link(_, _, Link::Slow(_)) => Kind::LinkSlow,
            Self::Link(_, _, Link::Silent) => Kind::LinkSilent,
            Self::Link(..) => Kind::LinkCut,
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
            _ => f.write_str(kind),
        }
    }
}

/// A fault with its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    /// How long all is left alone before it.
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
}

/// The endless faults of one lane.
#[derive(Debug)]
pub(crate) struct Schedule {
    lane: Lane,
    random: StdRng,
    deck: Vec<Kind>,
}

impl Schedule {
    pub(crate) fn new(seed: u64, lane: Lane) -> Self {
        // Two streams of one seed.
        let stream = match lane {
            Lane::Services => 0,
            Lane::Surroundings => 1 << 63,
        };
        Self {
            lane,
            random: StdRng::seed_from_u64(seed ^ stream),
            deck: Vec::new(),
        }
    }

    fn draw(&mut self) -> Kind {
        if self.deck.is_empty() {
            self.deck = match self.lane {
                Lane::Services => vec![
                    Kind::ProducerKilled,
                    Kind::ProcessorKilled,
                    Kind::ProcessorKilled,
                    Kind::SinkKilled,
                    Kind::Zombie,
                    Kind::Zombie,
                    Kind::Zombie,
                    Kind::Paused,
                ],
                Lane::Surroundings => vec![
                    Kind::BrokerKilled,
                    Kind::PostgresKilled,
                    Kind::RegistryPaused,
                    Kind::LinkCut,
                    Kind::LinkCut,
                    Kind::LinkSilent,
                    Kind::LinkSilent,
                    Kind::LinkSlow,
                ],
            };
            self.deck.shuffle(&mut self.random);
        }
        self.deck.pop().unwrap_or(Kind::Paused)
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.random.random_range(0..all.len())]
    }

    fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.random.random_range(range))
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
        let after = self.millis(300..2_500);
        let (fault, lasts) = match kind {
            Kind::ProducerKilled => {
                let instance = self.one_of(&[Instance::ProducerA, Instance::ProducerB]);
                (Fault::Kill(instance), self.millis(0..1_500))
            }
            Kind::ProcessorKilled => {
                let instance = self.one_of(&[Instance::ProcessorA, Instance::ProcessorB]);
                (Fault::Kill(instance), self.millis(0..4_000))
            }
            Kind::SinkKilled => {
                let instance = self.one_of(&[Instance::SinkA, Instance::SinkB]);
                (Fault::Kill(instance), self.millis(0..4_000))
            }
            // Longer than every timeout of `stage`, the relay's lock (6 s) included.
            Kind::Zombie => {
                let instance = self.one_of(&Instance::ALL);
                (Fault::Stop(instance, kind), self.millis(7_000..9_000))
            }
            Kind::Paused => {
                let instance = self.one_of(&Instance::ALL);
                (Fault::Stop(instance, kind), self.millis(100..2_500))
            }
            Kind::BrokerKilled => (Fault::KillBroker, self.millis(0..3_000)),
            Kind::PostgresKilled => (Fault::KillPostgres, self.millis(0..3_000)),
            Kind::RegistryPaused => (Fault::PauseRegistry, self.millis(1_000..6_000)),
            Kind::LinkCut => {
                let (instance, target) = self.link();
                let fault = Fault::Link(instance, target, Link::Cut);
                (fault, self.millis(50..6_000))
            }
            Kind::LinkSilent => {
                let (instance, target) = self.link();
                let fault = Fault::Link(instance, target, Link::Silent);
                (fault, self.millis(500..8_000))
            }
            Kind::LinkSlow => {
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
        for lane in [Lane::Services, Lane::Surroundings] {
            assert_eq!(faults(7, lane, 50), faults(7, lane, 50));
            assert_ne!(faults(7, lane, 50), faults(8, lane, 50));
        }
    }

    #[test]
    fn even_six_faults_of_the_services_have_a_zombie() {
        for seed in 0..100 {
            let zombies = faults(seed, Lane::Services, 6)
                .iter()
                .filter(|planned| planned.fault.kind() == Kind::Zombie)
                .count();
            assert!(zombies > 0, "seed {seed}");
        }
    }
}
