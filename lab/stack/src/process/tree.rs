//! The processes below another one, from `/proc`.

use rustix::process::Pid;

/// Returns the processes below `pid`, nearest first. On other systems than Linux there are none.
pub(crate) fn descendants(pid: u32) -> Vec<Pid> {
    let mut parents: Vec<(u32, u32)> = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        if let Some((parent, _)) = parent_and_state(id) {
            parents.push((parent, id));
        }
    }
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(
            parents
                .iter()
                .filter(|(of, _)| *of == parent)
                .map(|(_, id)| *id),
        );
        next += 1;
    }
    found
        .into_iter()
        .skip(1)
        .filter_map(|id| i32::try_from(id).ok().and_then(Pid::from_raw))
        .collect()
}

/// Returns whether a process runs; a zombie does not.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    if cfg!(target_os = "linux") {
        parent_and_state(pid).is_some_and(|(_, state)| !matches!(state, 'Z' | 'X'))
    } else {
        i32::try_from(pid)
            .ok()
            .and_then(Pid::from_raw)
            .is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
    }
}

fn parent_and_state(pid: u32) -> Option<(u32, char)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses and may contain anything, closing parentheses included.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((fields.next()?.parse().ok()?, state))
}
