//! What every replay of a range needs beside its reader.
//!
//! | module | contents |
//! |---|---|
//! | `settings` | the flags of a backfill that both services have |
//! | `threads` | one thread for each share of the partitions, until all have ended |
//! | `input` | a share as the input of a live loop |
//! | `pace` | bounds the records per second of all threads together |
//! | `progress` | how far the shares are, as a progress bar, log lines or JSON |
//! | `totals` | adds up what the threads committed |
//! | `rows` | how vouchers compare with the rows of the table |
//! | `report` | the result as lines of text |

mod input;
mod pace;
mod progress;
mod report;
mod rows;
mod settings;
mod threads;
mod totals;

pub use input::RangeInput;
pub use pace::Pace;
pub use progress::ShareProgress;
pub use report::{ReportLines, duration, numbers, seconds, speed};
pub use rows::{RowCounts, RowState};
pub use settings::ReplaySettings;
pub use threads::{Replayed, Share, replay};
pub use totals::Totals;

/// The header of a voucher's record that names the backfill or redrive that issued it. Absent in the
/// live flow.
pub const SOURCE_RUN: &str = "source.run";
