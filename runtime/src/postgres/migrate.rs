//! The command `migrate` of a service, and the setting of `run` that leaves the migrations to it.

use std::time::{Duration, Instant};

use clap::Args;

use super::database::Database;
use super::migrations::{MigrationError, Migrations, MissingMigrations, incompatible, list};
use crate::backoff::Backoff;
use crate::lifecycle::Failure;
use crate::output;
use crate::settings::whole;

/// Whether `run` changes the schema of its database.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Postgres")]
pub struct StartMigrations {
    /// Apply missing migrations at the start. With false, the service waits until the command
    /// migrate has applied them, and is not ready meanwhile.
    #[arg(
        long,
        env = "MIGRATE",
        default_value = "true",
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        action = clap::ArgAction::Set
    )]
    pub migrate: bool,
}

impl StartMigrations {
    /// Returns what the start does about missing migrations.
    #[must_use]
    pub const fn missing(self) -> MissingMigrations {
        if self.migrate {
            MissingMigrations::Apply
        } else {
            MissingMigrations::Await
        }
    }
}

/// How long the command `migrate` waits.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Postgres")]
pub struct MigrateTimeout {
    /// Time to wait for a database that is unavailable or refuses the migrations, in seconds. A migration
    /// that has begun is not interrupted.
    #[arg(long, env = "MIGRATE_TIMEOUT", default_value = "60", value_parser = whole::<u64>(0..=86_400, "seconds"))]
    pub migrate_timeout: u64,
}

/// Settings of the command `migrate` of a service whose database is that of `D`.
#[derive(Debug, Clone, Args)]
pub struct MigrateSettings<D: Args> {
    /// The database of the service.
    #[command(flatten)]
    pub database: D,
    /// How long the database is waited for.
    #[command(flatten)]
    pub timeout: MigrateTimeout,
}

impl Migrations {
    /// Applies the migrations that are missing, and prints which. Nothing happens where none is missing, so
    /// the command may run before every start, several times and at the same time.
    ///
    /// # Errors
    /// Exit code 1 when the database has not accepted the migrations in time, or its schema is one that
    /// this version cannot work with.
    pub async fn run_command(
        self,
        database: &Database,
        timeout: MigrateTimeout,
    ) -> Result<(), Failure> {
        let end = Instant::now() + Duration::from_secs(timeout.migrate_timeout);
        let mut backoff = Backoff::outside();
        loop {
            let error = match self.apply(database).await {
                Ok(missing) => return output::print_line(&report(&missing)),
                Err(MigrationError::Incompatible(why)) => return Err(incompatible(&why)),
                Err(error) => error,
            };
            let pause = backoff.next_pause();
            if Instant::now() + pause >= end {
                return Err(Failure::failed(format!(
                    "the database did not accept the migrations within {} s (MIGRATE_TIMEOUT): {error}",
                    timeout.migrate_timeout
                )));
            }
            tracing::warn!(%error, "the migrations cannot be applied yet; trying again");
            tokio::time::sleep(pause).await;
        }
    }
}

fn report(applied: &[i64]) -> String {
    if applied.is_empty() {
        "All migrations were applied before.".to_owned()
    } else {
        format!("Migrations applied: {}.", list(applied))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        at_start: StartMigrations,
    }

    #[test]
    fn migrations_are_applied_at_the_start_unless_that_is_switched_off() {
        let missing = |flags: &[&str]| {
            let all = ["service"].iter().chain(flags);
            Cli::try_parse_from(all).unwrap().at_start.missing()
        };
        assert_eq!(missing(&[]), MissingMigrations::Apply);
        assert_eq!(missing(&["--migrate"]), MissingMigrations::Apply);
        assert_eq!(missing(&["--migrate=false"]), MissingMigrations::Await);
    }
}
