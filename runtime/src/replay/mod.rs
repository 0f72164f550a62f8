//! What every replay of a range needs beside its reader.
//!
//! | module | contents |
//! |---|---|
//! | `settings` | the flags of a backfill that both services have |
//! | `threads` | one thread for each share of the partitions, until all have ended |
//! | `input` | a share as the input of a live loop |
//! | `rate` | how fast a replay may read, as a person writes it |
//! | `pace` | bounds the records per second of all threads together |
//! | `live_flow` | sets that bound so that the live flow is not held up |
//! | `pacing` | how fast a replay may go on and why, for reports and progress |
//! | `progress` | how far the shares are, as a progress bar, log lines or JSON |
//! | `totals` | adds up what the threads committed |
//! | `rows` | how vouchers compare with the rows of the table |
//! | `report` | the result as lines of text |

mod input;
mod live_flow;
mod pace;
mod pacing;
mod progress;
mod rate;
mod report;
mod rows;
mod settings;
mod threads;
mod totals;

pub use input::RangeInput;
pub use live_flow::{Beside, LiveGroup};
pub use pace::Pace;
pub use pacing::{GivingWay, HeldUp, LiveGroupState, Pacing};
pub use progress::ShareProgress;
pub use rate::Rate;
pub use report::{ReportLines, numbers, seconds, speed};
pub use rows::{RowCounts, RowState};
pub use settings::ReplaySettings;
pub use threads::{Replayed, Share, replay};
pub use totals::Totals;

/// The header of a voucher's record that names the backfill or redrive that issued it. Absent in the
/// live flow.
pub const SOURCE_RUN: &str = "source.run";
