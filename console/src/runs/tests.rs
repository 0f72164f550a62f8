//! Tests of runs, with a shell in place of the console's executable.

use serde_json::json;

use super::*;

fn ann() -> Identity {
    Identity {
        name: "ann".to_owned(),
        role: Role::Operator,
    }
}

fn viewer(name: &str) -> Identity {
    Identity {
        name: name.to_owned(),
        role: Role::Viewer,
    }
}

fn runs(script: &str) -> Runs {
    Runs::with_launcher(2, Launcher::new("/bin/sh", ["-c", script, "sh"]))
}

fn preview() -> RunRequest {
    let request = json!({"kind": "redrive", "service": "processor", "dry_run": true});
    serde_json::from_value(request).unwrap()
}

/// Waits until the run fulfils `is`.
async fn until(runs: &Runs, id: RunId, is: impl Fn(&RunView) -> bool) -> RunView {
    let mut changes = runs.changes();
    let wait = async {
        loop {
            let view = runs.get(id).unwrap();
            if is(&view) {
                return view;
            }
            // A receiver that has lost changes checks again, too.
            let _ = changes.recv().await;
        }
    };
    let limit = Duration::from_secs(30);
    timeout(limit, wait)
        .await
        .unwrap_or_else(|_| panic!("within {limit:?} the run was only {:?}", runs.get(id)))
}

async fn end_of(runs: &Runs, id: RunId) -> RunView {
    until(runs, id, |view| view.summary.state.has_ended()).await
}

/// Signals by its progress that it is ready, and ends at a SIGTERM.
const UNTIL_STOPPED: &str = r#"trap 'echo "error: stopped before the end" >&2; exit 143' TERM
    echo '{"progress":{"done":1,"total":2,"per_second":null}}' >&2
    while :; do sleep 0.1; done"#;

fn is_ready(view: &RunView) -> bool {
    view.progress.is_some()
}

#[tokio::test]
async fn a_run_has_its_result_its_log_and_one_sentence() {
    let runs = runs(
        r#"echo "begins" >&2
        echo '{"progress":{"done":3,"total":3,"per_second":7}}' >&2
        echo '{"closed":2,"still_open":1,"words":"'"$*"'"}'"#,
    );
    let id = runs.start(preview(), &ann(), None).unwrap();
    let view = end_of(&runs, id).await;
    assert_eq!(view.summary.state, RunState::Done);
    assert_eq!(
        view.summary.summary.unwrap(),
        "would close 2 dead letters, still open 1"
    );
    assert_eq!(view.log, ["begins"]);
    assert_eq!(view.progress.unwrap().per_second, Some(7));
    assert_eq!(
        view.result.unwrap()["words"],
        "processor redrive --dry-run --json --progress json"
    );
    assert_eq!(runs.list().len(), 1);
}

#[tokio::test]
async fn a_backfill_runs_only_as_it_was_previewed() {
    let runs = runs(r#"echo '{"vouchers":3,"sum":"15.00","currency":"EUR"}'"#);
    let request = |request| serde_json::from_value::<RunRequest>(request).unwrap();
    const FROM: &str = "2026-11-01T00:00:00Z";
    let preview = json!({"kind": "backfill", "dry_run": true, "from": FROM});
    let preview = runs.start(request(preview), &ann(), None).unwrap();
    end_of(&runs, preview).await;
    let what_if =
        json!({"kind": "backfill", "dry_run": true, "from": FROM, "rule": {"min_total": "80"}});
    let what_if = runs.start(request(what_if), &ann(), None).unwrap();
    end_of(&runs, what_if).await;
    let mut run = json!({
        "kind": "backfill", "from": FROM, "why": "w", "rate": "500",
        "preview": preview.to_string(), "confirm": 3,
    });
    let relative = json!({"kind": "backfill", "dry_run": true, "from": "-7d"});
    let relative = runs.start(request(relative), &ann(), None).unwrap();
    end_of(&runs, relative).await;
    let mut of_another_time = run.clone();
    of_another_time["from"] = json!("-7d");
    of_another_time["preview"] = json!(relative.to_string());
    let refused = runs.start(request(of_another_time), &ann(), None);
    assert!(
        matches!(&refused, Err(Refusal::NotPreviewed(why)) if why.starts_with("from: write a time")),
        "{refused:?}"
    );
    for (field, value) in [
        ("preview", json!(null)),
        ("preview", json!("0192f0c1-2345-7000-8000-000000000000")),
        ("preview", json!(what_if.to_string())),
        ("confirm", json!(null)),
        ("confirm", json!(4)),
        ("from", json!("2026-11-02T00:00:00Z")),
    ] {
        let mut other = run.clone();
        other[field] = value;
        let refused = runs.start(request(other.clone()), &ann(), None);
        assert!(
            matches!(&refused, Err(Refusal::NotPreviewed(_))),
            "{other}: {refused:?}"
        );
    }
    run["to"] = json!("latest");
    assert!(runs.start(request(run), &ann(), None).is_ok());
}

#[tokio::test]
async fn a_backfill_continues_after_its_preview_is_forgotten() {
    let runs = runs(
        r#"case "$*" in
        *--dry-run*) echo '{"vouchers":3,"sum":"15.00","currency":"EUR"}';;
        *--name=june*|*"--name june"*) echo '{"vouchers":3,"sum":"15.00","currency":"EUR"}';;
        *) exit 1;;
        esac"#,
    );
    let request = |request| serde_json::from_value::<RunRequest>(request).unwrap();
    let preview = || {
        let preview = request(json!({"kind": "backfill", "dry_run": true}));
        runs.start(preview, &ann(), None).unwrap()
    };
    let first = preview();
    end_of(&runs, first).await;
    let run = json!({
        "kind": "backfill", "name": "may", "why": "w",
        "preview": first.to_string(), "confirm": 3,
    });
    let mut other = run.clone();
    other["name"] = json!("june");
    let done = runs
        .start(request(other.clone()), &ann(), Some("k"))
        .unwrap();
    end_of(&runs, done).await;
    let begun = runs.start(request(run.clone()), &ann(), None).unwrap();
    end_of(&runs, begun).await;
    for _ in 2..registry::MAX_ENDED {
        end_of(&runs, preview()).await;
    }
    assert!(runs.get(first).is_none() && runs.get(begun).is_some());
    let again = runs.start(request(other.clone()), &ann(), Some("k"));
    assert_eq!(again, Ok(done), "the same request with the same key");
    let refused = runs.start(request(other), &ann(), None);
    assert!(
        matches!(refused, Err(Refusal::NotPreviewed(_))),
        "it is done: it would begin the next run"
    );
    assert!(runs.start(request(run), &ann(), None).is_ok());
}

#[tokio::test]
async fn a_run_that_is_stopped_ends_in_its_own_time() {
    let runs = runs(UNTIL_STOPPED);
    let id = runs.start(preview(), &ann(), None).unwrap();
    until(&runs, id, is_ready).await;
    assert_eq!(runs.stop(id, &ann()), Ok(()));
    let view = end_of(&runs, id).await;
    assert_eq!(view.summary.state, RunState::Stopped);
    assert_eq!(view.summary.summary.unwrap(), "stopped before the end");
    assert_eq!(view.log[0], "ann stopped the run.");
    assert_eq!(view.exit_code, Some(143));
    assert_eq!(runs.stop(id, &ann()), Err(StopRefused::HasEnded));
}

#[tokio::test]
async fn viewers_stop_their_own_previews_alone() {
    let runs = runs(UNTIL_STOPPED);
    let id = runs.start(preview(), &viewer("vic"), None).unwrap();
    until(&runs, id, is_ready).await;
    assert_eq!(runs.stop(id, &viewer("eve")), Err(StopRefused::Forbidden));
    assert_eq!(runs.stop(id, &viewer("vic")), Ok(()));
    end_of(&runs, id).await;
}

#[tokio::test]
async fn a_shutdown_stops_the_runs_and_waits_for_them() {
    let runs = runs(UNTIL_STOPPED);
    let id = runs.start(preview(), &ann(), None).unwrap();
    until(&runs, id, is_ready).await;
    let shutdown = Shutdown::new();
    shutdown.request();
    runs.clone().run(shutdown).await.unwrap();
    let view = runs.get(id).unwrap();
    assert_eq!(view.summary.state, RunState::Stopped);
    assert_eq!(runs.start(preview(), &ann(), None), Err(Refusal::Stopping));
}

#[tokio::test]
async fn a_repeated_request_starts_nothing() {
    let runs = runs("echo '{}'");
    let id = runs.start(preview(), &ann(), Some("k")).unwrap();
    assert_eq!(runs.start(preview(), &ann(), Some("k")), Ok(id));
    end_of(&runs, id).await;
    assert_eq!(runs.start(preview(), &ann(), Some("k")), Ok(id));
    assert_eq!(runs.list().len(), 1);
}

#[tokio::test]
async fn no_more_runs_than_the_limit() {
    let runs = runs(UNTIL_STOPPED);
    let ids: Vec<_> = (0..2)
        .map(|_| runs.start(preview(), &ann(), None).unwrap())
        .collect();
    assert_eq!(
        runs.start(preview(), &ann(), None),
        Err(Refusal::TooMany(2))
    );
    for id in ids {
        until(&runs, id, is_ready).await;
        runs.stop(id, &ann()).unwrap();
        end_of(&runs, id).await;
    }
    assert!(runs.start(preview(), &ann(), None).is_ok());
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_a_failed_run() {
    let runs = Runs::with_launcher(1, Launcher::new("/nonexistent/console", ["exec"]));
    let id = runs.start(preview(), &ann(), None).unwrap();
    let view = end_of(&runs, id).await;
    assert_eq!(view.summary.state, RunState::Failed);
    let why = view.summary.summary.unwrap();
    assert!(
        why.starts_with("the command could not be started: "),
        "{why}"
    );
}

#[tokio::test]
async fn a_query_is_answered_with_what_the_command_found() {
    let query = Query::explain("17", Reach::Usual).unwrap();
    let answer = async |script: &str| runs(script).query(&query).await;
    let found = answer(r#"echo '{"found":false}'; echo "error: not found" >&2; exit 1"#).await;
    assert_eq!(found.unwrap()["found"], false);
    let refused = answer(r#"echo "error: VOUCHER_AMOUNT: no" >&2; exit 2"#).await;
    assert!(matches!(refused, Err(CommandFailed::Refused(why)) if why == "VOUCHER_AMOUNT: no"));
    let failed = answer(r#"echo "error: no broker answers" >&2; exit 1"#).await;
    assert!(matches!(failed, Err(CommandFailed::Failed(why)) if why == "no broker answers"));
}
