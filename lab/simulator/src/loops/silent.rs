//! An observer that reports nothing.

use std::time::Duration;

use processor::batch::Tally;
use runtime::flow::FlowObserver;

/// The observer of all loops of the model.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl FlowObserver for Silent {}

impl processor::ports::Observer for Silent {
    fn flow(&mut self) -> &mut dyn FlowObserver {
        self
    }

    fn committed<'a>(&mut self, _: impl Iterator<Item = &'a Tally>, _: Duration) {}
}

impl sink::ports::Observer for Silent {
    fn flow(&mut self) -> &mut dyn FlowObserver {
        self
    }

    fn settled(&mut self, _: &sink::tally::Tally) {}
}

impl producer::relay::ports::Observer for Silent {}
