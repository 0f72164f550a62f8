//! Each fault, injected and healed.

mod cluster;
pub(crate) mod schedule;

use anyhow::{Context, Result};
use stack::{Backend, Backends};

use crate::stage::Stage;
use crate::stage::proxy::Link;
use schedule::{Fault, Planned};

/// Injects one fault, waits, and heals it. What it hit may need longer to recover.
pub(crate) async fn inject(stage: &Stage, planned: &Planned) -> Result<()> {
    let backends = &stage.system.backends;
    match planned.fault {
        Fault::Kill(instance) => {
            let mut service = stage.service(instance)?.lock().await;
            service.kill().await?;
            tokio::time::sleep(planned.lasts).await;
            service.restart().await
        }
        Fault::Stop(instance, _) => {
            let service = stage.service(instance)?.lock().await;
            service.pause()?;
            tokio::time::sleep(planned.lasts).await;
            service.resume()
        }
        Fault::KillBroker(broker) => {
            let broker = broker_at(backends, broker)?;
            broker.kill().await?;
            tokio::time::sleep(planned.lasts).await;
            broker.start().await
        }
        Fault::RestartBroker(broker) => {
            let broker = broker_at(backends, broker)?;
            broker.stop().await?;
            tokio::time::sleep(planned.lasts).await;
            broker.start().await
        }
        Fault::PauseBroker(broker) => {
            let broker = broker_at(backends, broker)?;
            broker.pause()?;
            tokio::time::sleep(planned.lasts).await;
            broker.resume()?;
            broker.wait_ready().await
        }
        Fault::MoveLeaders(rotation) => cluster::move_leaders(backends, rotation).await,
        Fault::RestartInTurn => cluster::restart_in_turn(backends).await,
        Fault::KillAllBut(survivor) => {
            cluster::kill_all_but(backends, survivor, planned.lasts).await
        }
        Fault::KillPostgres => {
            backends.postgres().kill().await?;
            tokio::time::sleep(planned.lasts).await;
            backends.postgres().start().await
        }
        Fault::PauseRegistry => {
            backends.registry().pause()?;
            tokio::time::sleep(planned.lasts).await;
            backends.registry().resume()
        }
        Fault::Link(instance, target, link) => {
            stage.link(instance, target, link)?;
            tokio::time::sleep(planned.lasts).await;
            stage.link(instance, target, Link::Open)
        }
    }
    .with_context(|| format!("{} could not be healed", planned.fault))
}

fn broker_at(backends: &Backends, place: usize) -> Result<&Backend> {
    let broker = backends.brokers().get(place);
    broker.with_context(|| format!("there is no broker {}", place + 1))
}
