//! The peer of the processor: the same work as a Kafka Streams application, `lab/peers/kafka-streams`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use end_to_end::system::TestSystem;
use stack::ServiceCommand;
use tokio::process::Command;

/// The settings of the application and of its JVM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// Those of Kafka Streams and of Java.
    Default,
    /// 2 threads, a commit each second, larger batches, and the parallel collector.
    Tuned,
}

impl Preset {
    /// Returns the name by which the application knows it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Tuned => "tuned",
        }
    }

    const fn java_options(self) -> &'static [&'static str] {
        match self {
            Self::Default => &[],
            Self::Tuned => &["-XX:+UseParallelGC"],
        }
    }
}

/// The built application, and the Java that runs it.
#[derive(Debug)]
pub struct KafkaStreams {
    java: PathBuf,
    jar: PathBuf,
}

impl KafkaStreams {
    /// Builds the application with Maven, which downloads Kafka Streams the first time.
    ///
    /// # Errors
    /// When Java or Maven is missing, or the application does not compile.
    pub async fn build() -> Result<Self> {
        let java = stack::java()?.binary;
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let project = workspace.join("lab/peers/kafka-streams/pom.xml");
        let output = Command::new(stack::maven("Kafka Streams")?)
            .args(["--quiet", "--batch-mode", "-Dstyle.color=never", "--file"])
            .arg(&project)
            .arg("package")
            .output()
            .await
            .context("Maven could not be started")?;
        ensure!(
            output.status.success(),
            "{} could not be built:\n{}",
            project.display(),
            String::from_utf8_lossy(&output.stdout).trim()
        );
        let jar = workspace.join("target/peers/kafka-streams/kafka-streams-peer.jar");
        Ok(Self { java, jar })
    }

    /// Returns the command of the application in this flow, with this consumer group. Like a service, it
    /// writes a log, answers `/readyz` and ends on SIGTERM. The JVM also takes the options of
    /// `JDK_JAVA_OPTIONS`.
    ///
    /// # Errors
    /// When the services do not compile.
    pub async fn command(
        &self,
        preset: Preset,
        system: &TestSystem,
        group: &str,
    ) -> Result<ServiceCommand> {
        let name = format!("streams-{}", preset.as_str());
        let jar = self.jar.to_string_lossy();
        let mut arguments = preset.java_options().to_vec();
        arguments.extend(["-jar", &*jar, preset.as_str()]);
        Ok(system
            .processor_command(&name)
            .await?
            .binary(&self.java)
            .arguments(arguments)
            .env("PROCESSOR_GROUP", group))
    }
}
