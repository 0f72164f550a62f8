//! The configuration file, and the commands that check and show settings.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use end_to_end::command::{Answer, run_alone};
use end_to_end::system::{SIGNING_KEY, TestSystem, binaries, ready};
use end_to_end::topic::NewRecord;
use serde_json::Value;
use stack::ServiceCommand;

/// A file in a folder of its own. Dropping it removes both.
struct File {
    folder: PathBuf,
    path: String,
}

impl File {
    fn new(text: &str) -> Result<Self> {
        Self::with_mode(text, 0o600)
    }

    fn with_mode(text: &str, mode: u32) -> Result<Self> {
        let name = format!("checkout-{:016x}", rand::random::<u64>());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder)?;
        let path = folder.join("checkout.toml");
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))?;
        let path = path.to_str().context("a path in UTF-8")?.to_owned();
        Ok(Self { folder, path })
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Runs a service's command with this file alone.
async fn with_file(service: &str, arguments: &[&str], file: &File) -> Result<Answer> {
    run_alone(service, arguments, &[("CHECKOUT_CONFIG", &file.path)]).await
}

#[tokio::test]
async fn a_flow_runs_from_one_file() -> Result<()> {
    let system = TestSystem::open().await?;
    let file = File::new(&format!(
        r#"kafka_bootstrap_servers = "{brokers}"
order_status_topic = "{order_status}"
vouchers_topic = "{vouchers}"
schema_registry_url = "{registry}"
log_format = "text"
processor_group = "{processor_group}"
sink_group = "{sink_group}"

[processor]
processor_instance_id = "1"
voucher_signing_key = "{SIGNING_KEY}"
voucher_amount = 7.50

[sink]
database_url = "{database}"
sink_tasks = 1

[producer]
outbox_name = "not-read-by-others"
"#,
        brokers = system.brokers(),
        order_status = system.topics.order_status,
        vouchers = system.topics.vouchers,
        registry = system.backends.schema_registry_url(),
        processor_group = system.processor_group(),
        sink_group = system.sink_group(),
        database = system.vouchers_url,
    ))?;
    let logs = system.backends.directory().join("logs").join(&system.name);
    let mut services = Vec::new();
    for name in ["processor", "sink"] {
        let binary = binaries().await?.of(name)?;
        let command = ServiceCommand::new(&format!("{name}-of-a-file"), binary, &logs);
        services.push(ready(command.arg("--config").arg(&file.path)).await?);
    }
    let order = r#"{"order_id":"17","status":"SENT","total":"100.00"}"#;
    system
        .write_orders(vec![NewRecord::new("17", order)])
        .await?;
    system.settled().await;
    let rows = system.vouchers_of("17").await?;
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].amount, "7.50".parse()?);

    // The commands read the same file.
    let explained = with_file("processor", &["explain", "17", "--json"], &file).await?;
    assert_eq!(explained.code, 0, "{}", explained.stderr);
    Ok(())
}

#[tokio::test]
async fn everything_that_is_wrong_is_reported_at_once() -> Result<()> {
    let file = File::new(
        "voucher_amout = 5\n\n[processor]\nprocessor_tasks = 65\nvoucher_sent_from = 2026-12-02T00:00:00Z\n\
         voucher_sent_until = 2026-12-01T00:00:00Z\n",
    )?;
    let environment = [
        ("CHECKOUT_CONFIG", file.path.as_str()),
        ("HTTP_ADDR", "9464"),
        ("RUST_LOG", "processor=loud"),
        ("KAFKA_PROPERTIES", "no.such.property=hunter2"),
        ("VOUCHERS_TOPICK", "a"),
    ];
    let answer = run_alone("processor", &["config", "check"], &environment).await?;
    assert_eq!((answer.code, answer.stdout.as_str()), (2, ""));
    let said = &answer.stderr;
    for expected in [
        "checkout.toml:1: unknown setting voucher_amout: write voucher_amount",
        "checkout.toml:4: processor_tasks: ",
        "tasks from 1 to 64",
        "HTTP_ADDR: ",
        "RUST_LOG: ",
        "no.such.property",
        "VOUCHER_SENT_UNTIL",
        "VOUCHER_SIGNING_KEY is not set",
        "write VOUCHERS_TOPIC",
    ] {
        assert!(said.contains(expected), "no {expected:?} in {said}");
    }
    assert!(!said.contains("hunter2"), "{said}");
    // `run` refuses the same file before it does anything else.
    let answer = with_file("processor", &["run"], &file).await?;
    assert_eq!(answer.code, 2);
    for expected in ["checkout.toml:1: ", "checkout.toml:4: "] {
        assert!(answer.stderr.contains(expected), "{}", answer.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn the_start_reports_all_errors_at_once_too() -> Result<()> {
    let environment = [
        ("KAFKA_PROPERTIES", "no.such.property=1"),
        ("SCHEMA_REGISTRY_USERNAME", "a"),
    ];
    let answer = run_alone("processor", &["run"], &environment).await?;
    assert_eq!(answer.code, 2);
    for expected in [
        "no.such.property",
        "VOUCHER_SIGNING_KEY is not set",
        "SCHEMA_REGISTRY_URL is not",
    ] {
        assert!(answer.stderr.contains(expected), "{}", answer.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn right_settings_are_checked_without_asking_anybody() -> Result<()> {
    let key = [("VOUCHER_SIGNING_KEY", SIGNING_KEY)];
    let database = [("DATABASE_URL", "postgres://u:hunter2@nobody.invalid/d")];
    let laptop = [("CONSOLE_WITHOUT_KEYS", "viewer")];
    for (service, environment) in [
        ("processor", key),
        ("producer", database),
        ("sink", database),
        ("console", laptop),
    ] {
        let answer = run_alone(service, &["config", "check"], &environment).await?;
        let expected = format!("{service} run: 1 setting set, no errors\n");
        assert_eq!(answer.stdout, expected, "{}", answer.stderr);
        assert_eq!((answer.code, answer.stderr.as_str()), (0, ""));
    }
    let missing = run_alone("sink", &["config", "check"], &[]).await?;
    assert_eq!(missing.code, 2);
    assert!(
        missing.stderr.contains("--database-url"),
        "{}",
        missing.stderr
    );
    let other = ["config", "check", "--", "backfill", "--rate=0"];
    let other = run_alone("sink", &other, &database).await?;
    assert_eq!(other.code, 2);
    assert!(other.stderr.contains("--rate"), "{}", other.stderr);
    Ok(())
}

/// Returns the shown setting with this key.
fn of<'a>(shown: &'a Value, key: &str) -> Result<&'a Value> {
    let mut settings = shown.as_array().into_iter().flatten();
    settings
        .find(|setting| setting["key"] == key)
        .with_context(|| format!("{key} is not in {shown}"))
}

#[tokio::test]
async fn each_setting_is_shown_with_where_it_comes_from() -> Result<()> {
    let file = File::new(&format!(
        "voucher_amount = 7.50\nvoucher_campaign = 'of-the-file'\nprocessor_tasks = 2\n\
         [processor]\nvoucher_signing_key = '{SIGNING_KEY}'\n"
    ))?;
    let environment = [
        ("CHECKOUT_CONFIG", file.path.as_str()),
        ("VOUCHER_CAMPAIGN", "of-a-variable"),
        // Empty, so that the file counts.
        ("VOUCHER_AMOUNT", ""),
    ];
    let flags = ["config", "show", "--json", "--", "run", "--tasks=3"];
    let shown = run_alone("processor", &flags, &environment).await?.json()?;
    for (key, value, origin) in [
        ("processor_tasks", "3", "flag"),
        ("voucher_campaign", "of-a-variable", "variable"),
        ("voucher_amount", "7.50", "file"),
        ("voucher_min_total", "100.00", "default"),
    ] {
        let setting = of(&shown, key)?;
        assert_eq!(setting["value"], value, "{setting}");
        assert_eq!(setting["origin"], origin, "{setting}");
    }
    assert_eq!(of(&shown, "voucher_amount")?["line"], 1);
    let key = of(&shown, "voucher_signing_key")?;
    assert_eq!(key["secret"], true);
    assert_eq!(key["line"], 5);
    assert_eq!(key["value"], Value::Null);
    assert!(!shown.to_string().contains(SIGNING_KEY));

    let origins = ["config", "show", "--origin"];
    let text = run_alone("processor", &origins, &environment).await?;
    assert_eq!(text.code, 0, "{}", text.stderr);
    for line in [
        "voucher_campaign = \"of-a-variable\"  # VOUCHER_CAMPAIGN",
        &format!("voucher_amount = \"7.50\"  # {}:1", file.path),
        "voucher_min_total = \"100.00\"  # default",
        "# voucher_valid_days is not set",
        &format!(
            "# voucher_signing_key is set, and secret  # {}:5",
            file.path
        ),
    ] {
        assert!(
            text.stdout.lines().any(|shown| shown == line),
            "{line}: {}",
            text.stdout
        );
    }
    assert!(!text.stdout.contains(SIGNING_KEY));
    // The output is itself a configuration file.
    let copy = File::new(&text.stdout)?;
    let environment = [
        ("CHECKOUT_CONFIG", copy.path.as_str()),
        ("VOUCHER_SIGNING_KEY", SIGNING_KEY),
    ];
    let answer = run_alone("processor", &["config", "check"], &environment).await?;
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    Ok(())
}

#[tokio::test]
async fn a_file_that_cannot_be_used_says_why() -> Result<()> {
    let open = "voucher_signing_key = 'c2VjcmV0'\n";
    for (file, expected) in [
        (File::with_mode(open, 0o644)?, "chmod o="),
        (File::new("a = 1 = 2\n")?, "checkout.toml:1: not TOML: "),
        (
            File::new("[processor]\nlog_format = 'xml'\n")?,
            "text, json",
        ),
    ] {
        for command in [["run"].as_slice(), &["config", "check"]] {
            let answer = with_file("processor", command, &file).await?;
            assert_eq!(answer.code, 2, "{}", answer.stderr);
            assert!(answer.stderr.contains(expected), "{}", answer.stderr);
            assert!(!answer.stderr.contains("c2VjcmV0"), "{}", answer.stderr);
        }
    }
    let missing = ["run", "--config", "/nowhere/checkout.toml"];
    let answer = run_alone("processor", &missing, &[]).await?;
    assert_eq!(answer.code, 2);
    assert!(
        answer.stderr.contains("/nowhere/checkout.toml"),
        "{}",
        answer.stderr
    );
    Ok(())
}

#[tokio::test]
async fn what_is_about_the_command_line_needs_no_file() -> Result<()> {
    let missing = [("CHECKOUT_CONFIG", "/nowhere/checkout.toml")];
    for arguments in [
        ["--help"].as_slice(),
        &["run", "--help"],
        &["--version"],
        &["completions", "bash"],
        &["config", "schema"],
    ] {
        let answer = run_alone("sink", arguments, &missing).await?;
        assert_eq!(answer.code, 0, "{arguments:?}: {}", answer.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn a_command_below_another_one_reads_the_file_too() -> Result<()> {
    let file = File::new("processor_group = 'of-the-file'\nmigrate = false\n")?;
    let words = [
        "config",
        "show",
        "--json",
        "--",
        "dead-letters",
        "show",
        "order-status/3/41",
    ];
    let shown = with_file("processor", &words, &file).await?.json()?;
    let group = of(&shown, "processor_group")?;
    assert_eq!(group["value"], "of-the-file");
    assert_eq!(group["origin"], "file");
    Ok(())
}

#[tokio::test]
async fn the_example_is_a_file_for_every_service() -> Result<()> {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../deploy/checkout.toml");
    let example = example.to_str().context("a path in UTF-8")?;
    let secrets = [
        ("VOUCHER_SIGNING_KEY", SIGNING_KEY),
        ("CONSOLE_WITHOUT_KEYS", "viewer"),
    ];
    for service in ["producer", "processor", "sink", "console"] {
        let check = ["config", "check", "--config", example];
        let answer = run_alone(service, &check, &secrets).await?;
        assert_eq!(answer.code, 0, "{service}: {}", answer.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn a_variable_that_looks_like_a_setting_is_warned_of() -> Result<()> {
    let environment = [
        ("VOUCHER_SIGNING_KEY", SIGNING_KEY),
        ("VOUCHER_AMOUNT", "7"),
        // VOUCHER_AMOUNT is set, so this one is no reason to refuse.
        ("VOUCHER_AMOUT", "8"),
        ("PATH", "/bin"),
    ];
    let answer = run_alone("processor", &["config", "check"], &environment).await?;
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    let warnings: Vec<_> = answer.stderr.lines().collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].starts_with("warning: the environment variable VOUCHER_AMOUT "));
    assert!(warnings[0].ends_with("VOUCHER_AMOUNT"), "{warnings:?}");
    Ok(())
}

/// Runs a program with a text as its input, if the program is there.
fn accepts(program: &str, arguments: &[&str], input: &Path) -> Result<Option<String>> {
    let run = std::process::Command::new(program)
        .args(arguments)
        .arg(input)
        .output();
    match run {
        Ok(output) if output.status.success() => Ok(Some(String::new())),
        Ok(output) => {
            let said = [output.stdout, output.stderr].concat();
            Ok(Some(String::from_utf8_lossy(&said).into_owned()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[tokio::test]
async fn completions_and_manual_pages_are_what_their_readers_accept() -> Result<()> {
    for service in ["producer", "processor", "sink", "console"] {
        for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
            let answer = run_alone(service, &["completions", shell], &[]).await?;
            assert_eq!(answer.code, 0, "{}", answer.stderr);
            assert!(answer.stdout.contains("config"), "{shell}");
            if shell == "bash" {
                let script = File::new(&answer.stdout)?;
                let refused = accepts("bash", &["-n"], Path::new(&script.path))?;
                assert_eq!(refused.as_deref(), Some(""), "{service}");
            }
        }
        let page = run_alone(service, &["man"], &[]).await?;
        assert!(page.stdout.contains(".TH "), "{}", page.stderr);
        let folder = File::new("")?;
        let pages = folder.folder.join("man");
        let dir = pages.to_str().context("a path in UTF-8")?;
        let answer = run_alone(service, &["man", "--dir", dir], &[]).await?;
        assert_eq!(answer.code, 0, "{}", answer.stderr);
        for page in [format!("{service}.1"), format!("{service}-run.1")] {
            let page = pages.join(page);
            let text = std::fs::read_to_string(&page)?;
            assert!(text.contains(".SH SYNOPSIS"), "{}", page.display());
            // Errors alone: a page without a date is a warning.
            if let Some(said) = accepts("mandoc", &["-T", "lint", "-W", "error"], &page)? {
                assert_eq!(said, "", "{}", page.display());
            }
        }
    }
    Ok(())
}
