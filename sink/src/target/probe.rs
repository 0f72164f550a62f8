//! A probe of the database beside the loop, because an idle loop would not notice an outage.

use runtime::health::Part;
use runtime::lifecycle::Shutdown;

use super::{Database, WriteTest};
use crate::limits::PROBE_INTERVAL;

/// Asks the database every two seconds, on a connection of its own, and reports the answer as a
/// [`Part`].
pub struct DatabaseProbe {
    test: WriteTest,
    part: Part,
}

impl DatabaseProbe {
    /// Does not connect yet.
    pub const fn new(database: Database, part: Part) -> Self {
        Self {
            test: WriteTest::new(database),
            part,
        }
    }

    /// Runs until shutdown.
    pub async fn run(mut self, shutdown: Shutdown) {
        // Whether the last answer was that rows can be written.
        let mut is_ready = false;
        loop {
            let answer = self.test.run(is_ready).await;
            is_ready = answer.is_ok();
            match answer {
                Ok(()) => self.part.ready(),
                Err(why) => self.part.not_ready(why),
            }
            tokio::select! {
                () = tokio::time::sleep(PROBE_INTERVAL) => {}
                () = shutdown.requested() => return,
            }
        }
    }
}
