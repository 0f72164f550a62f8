//! CPU time and memory of a process, from the kernel.

use std::time::Duration;

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};

/// What a process has used since its start.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// User and system time of all threads, also of ended ones; in the kernel's ticks of 10 ms.
    pub cpu: Duration,
    /// The same for the children that it has waited for.
    pub children_cpu: Duration,
    /// The peak of its memory, in MiB.
    pub peak_mib: f64,
    /// Its current memory, in MiB.
    pub mib: f64,
}

/// Returns the usage of the process `pid`.
///
/// # Errors
/// When it does not run.
pub fn of(pid: u32) -> Result<Usage> {
    let read = |file: &str| {
        std::fs::read_to_string(format!("/proc/{pid}/{file}"))
            .with_context(|| format!("the process {pid} cannot be read"))
    };
    let stat = read("stat")?;
    // The name, in parentheses, may contain spaces.
    let (_, after_name) = stat.rsplit_once(')').context("a process without a name")?;
    let fields: Vec<u64> = after_name
        .split_ascii_whitespace()
        .map(|field| field.parse().unwrap_or_default())
        .collect();
    // The fields 14 to 17 of proc(5); the state is number 3.
    let ticks = |from: usize| -> u64 { fields.iter().skip(from - 3).take(2).sum() };
    let status = read("status")?;
    Ok(Usage {
        cpu: time(ticks(14)),
        children_cpu: time(ticks(16)),
        peak_mib: mib(&status, "VmHWM:"),
        mib: mib(&status, "VmRSS:"),
    })
}

fn time(ticks: u64) -> Duration {
    Duration::from_micros(ticks * 1_000_000 / rustix::param::clock_ticks_per_second())
}

fn mib(status: &str, name: &str) -> f64 {
    let kib: u32 = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok())
        .unwrap_or_default();
    f64::from(kib) / 1024.0
}

/// Returns the CPU time of a server that forks, such as Postgres: of `pid` and all its children, ended
/// ones too.
///
/// # Errors
/// When it does not run.
pub fn of_family(pid: u32) -> Result<Duration> {
    let own = of(pid)?;
    let mut cpu = own.cpu + own.children_cpu;
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    for child in children.split_ascii_whitespace() {
        // A child that has just ended is counted in its parent's `children_cpu` next time.
        if let Some(usage) = child.parse().ok().and_then(|child| of(child).ok()) {
            cpu += usage.cpu;
        }
    }
    Ok(cpu)
}

/// Returns the CPU time of everything on this machine since it booted.
///
/// # Errors
/// When the kernel does not report it.
pub fn of_the_machine() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/stat").context("/proc/stat cannot be read")?;
    let all = stat.lines().next().context("/proc/stat is empty")?;
    // The fields after softirq are the time of other virtual machines.
    let ticks = all
        .split_ascii_whitespace()
        .skip(1)
        .zip(["user", "nice", "system", "idle", "iowait", "irq", "softirq"])
        .filter(|(_, name)| !matches!(*name, "idle" | "iowait"))
        .filter_map(|(ticks, _)| ticks.parse::<u64>().ok())
        .sum();
    Ok(time(ticks))
}

/// Returns the CPU time of this process, in nanoseconds.
pub fn own_cpu() -> Duration {
    clock(ClockId::ProcessCPUTime)
}

/// Returns the CPU time of this thread, in nanoseconds.
pub fn thread_cpu() -> Duration {
    clock(ClockId::ThreadCPUTime)
}

fn clock(id: ClockId) -> Duration {
    let time = clock_gettime(id);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_something() {
        let begun = thread_cpu();
        while thread_cpu() - begun < Duration::from_millis(30) {}
        let usage = of(std::process::id()).unwrap();
        assert!(usage.cpu >= Duration::from_millis(20), "{usage:?}");
        assert!(usage.peak_mib >= usage.mib && usage.mib > 1.0, "{usage:?}");
        assert!(of_family(std::process::id()).unwrap() >= usage.cpu);
        assert!(of_the_machine().unwrap() >= usage.cpu);
    }
}
