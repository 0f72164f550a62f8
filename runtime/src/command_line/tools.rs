//! The commands about the command line itself, the same for all services. They connect to nothing.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Command, CommandFactory as _, Subcommand};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Cli, Commands};
use crate::configuration::{ConfigCommand, ConfigSettings};
use crate::lifecycle::{self, Failure};
use crate::output;

/// The commands about the command line itself.
#[derive(Debug, Clone, Subcommand)]
pub enum Tools {
    /// Check or show the settings. Nothing is connected to.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the script that lets a shell complete the commands and flags.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page. --dir writes the pages of all commands.
    Man {
        /// Folder that the pages are written to, one for each command.
        #[arg(long, value_name = "FOLDER")]
        dir: Option<PathBuf>,
    },
}

impl Tools {
    /// Runs the command for the command line of a service with the commands `C`.
    pub fn run<C: Commands>(self, config: &ConfigSettings) -> ExitCode {
        lifecycle::run_until_interrupted(|_| async move {
            let all = Cli::<C>::command();
            match self {
                Self::Config(command) => command.run(config, |cli: Cli<C>| cli.command.check()),
                Self::Completions { shell } => output::print(&completions(all, shell)),
                Self::Man { dir: None } => output::print(&page(all)?),
                Self::Man { dir: Some(dir) } => pages(all, &dir),
            }
        })
    }
}

fn completions(mut command: Command, shell: Shell) -> String {
    let name = command.get_name().to_owned();
    let mut text: Vec<u8> = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

fn page(command: Command) -> Result<String, Failure> {
    let mut text: Vec<u8> = Vec::new();
    Man::new(command)
        .render(&mut text)
        .map_err(|error| Failure::failed(format!("cannot write the manual page: {error}")))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn pages(command: Command, dir: &std::path::Path) -> Result<(), Failure> {
    std::fs::create_dir_all(dir)
        .and_then(|()| clap_mangen::generate_to(command, dir))
        .map_err(|error| {
            Failure::failed(format!(
                "cannot write the manual pages to {}: {error}",
                dir.display()
            ))
        })
}
