//! Whether a backfill was previewed before it runs: pure.

use super::request::{Backfill, RunRequest};
use super::run::{RunState, RunView};

/// Checks that a backfill has the range of a preview that has ended, and that the person has written the
/// number of vouchers that the preview counted.
///
/// # Errors
/// What to do before it can be run.
pub(super) fn check(backfill: &Backfill, preview: Option<&RunView>) -> Result<(), String> {
    if backfill.dry_run {
        return Ok(());
    }
    let Some(preview) = preview else {
        return Err(
            "preview: the console does not know the preview of this backfill, because it has run many \
             others or was started anew since; preview it again; nothing was run"
                .to_owned(),
        );
    };
    if preview.summary.state != RunState::Done || !is_of_the_same(&preview.request, backfill) {
        return Err(format!(
            "preview: the run {} is no preview of this range by the present rule that is done; preview \
             it again; nothing was run",
            preview.summary.id
        ));
    }
    let result = preview.result.as_ref();
    let counted = result.and_then(|result| result["vouchers"].as_u64());
    match (counted, backfill.confirm) {
        (Some(counted), Some(confirmed)) if counted == confirmed => Ok(()),
        _ => Err(
            "confirm: write the number of vouchers that the preview counted; nothing was run"
                .to_owned(),
        ),
    }
}

/// Returns whether the vouchers that were counted are those that the backfill issues. The pace of a preview
/// changes nothing.
fn is_of_the_same(previewed: &RunRequest, backfill: &Backfill) -> bool {
    match previewed {
        RunRequest::Backfill(preview) => {
            preview.dry_run
                && preview.rule.is_none()
                && preview.from == backfill.from
                && preview.to == backfill.to
        }
        RunRequest::Redrive(_) | RunRequest::Discard(_) => false,
    }
}
