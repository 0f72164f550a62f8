//! Whether a backfill was previewed before it runs: pure.

use runtime::kafka::Bound;

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
    for (field, bound) in [("from", &backfill.from), ("to", &backfill.to)] {
        if is_relative(bound.as_deref()) {
            return Err(format!(
                "{field}: write a time, because `-7d` now means another range than in the preview; \
                 nothing was run"
            ));
        }
    }
    let Some(preview) = preview else {
        return Err(
            "preview: the console does not know the preview of this backfill, because it was \
             restarted, or has run many others since; preview the backfill again; nothing was run"
                .to_owned(),
        );
    };
    if preview.summary.state != RunState::Done || !is_of_the_same(&preview.request, backfill) {
        return Err(format!(
            "preview: the run {} is not a finished preview of this range with the current rule; \
             preview the backfill again; nothing was run",
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

/// Returns whether `backfill` goes on with `earlier`, which was checked when it was started. Its preview may
/// be forgotten by now.
pub(super) fn continues(earlier: &RunRequest, backfill: &Backfill) -> bool {
    let RunRequest::Backfill(earlier) = earlier else {
        return false;
    };
    let is_same = |of: fn(&Backfill) -> &Option<String>| of(earlier) == of(backfill);
    !earlier.dry_run
        && earlier.name.is_some()
        && is_same(|one| &one.name)
        && is_same(|one| &one.preview)
        && has_same_range(earlier, backfill)
        && earlier.confirm == backfill.confirm
}

/// Returns whether the vouchers that were counted are those that the backfill issues. The pace of a preview
/// changes nothing.
fn is_of_the_same(previewed: &RunRequest, backfill: &Backfill) -> bool {
    match previewed {
        RunRequest::Backfill(preview) => {
            preview.dry_run
                && preview.rule.is_none()
                // A preview under a name counts what is left of the run of that name.
                && (preview.name.is_none() || preview.name == backfill.name)
                && has_same_range(preview, backfill)
        }
        RunRequest::Redrive(_) | RunRequest::Discard(_) => false,
    }
}

fn has_same_range(one: &Backfill, other: &Backfill) -> bool {
    let range = |of: &Backfill| {
        let bound = |bound: &Option<String>, default: &str| {
            bound.clone().unwrap_or_else(|| default.to_owned())
        };
        (bound(&of.from, "earliest"), bound(&of.to, "latest"))
    };
    range(one) == range(other)
}

/// Returns whether a bound stands for another time whenever it is read.
fn is_relative(bound: Option<&str>) -> bool {
    bound.is_some_and(|bound| matches!(Bound::parse(bound), Ok(Bound::Ago(_))))
}
