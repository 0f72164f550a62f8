//! Runs the targets on every kept input and on some changes of it, the same ones each time, without an
//! engine.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use fuzz::TARGETS;

/// The number of changes that are tried of each input.
const CHANGES: usize = 40;

/// The maximum number of kept inputs. A larger corpus belongs in the fuzzer's own folder.
const MAX_FILES: usize = 300;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = corpus().join(target);
    let files =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut inputs: Vec<_> = files
        .map(|file| {
            let path = file.unwrap().path();
            (path.display().to_string(), fs::read(&path).unwrap())
        })
        .collect();
    inputs.sort();
    inputs
}

/// Runs a target; prints the name of the input if the target panics.
fn judge(run: fn(&[u8]), name: &str, input: &[u8]) {
    if let Err(panic) = std::panic::catch_unwind(|| run(input)) {
        eprintln!("{name}, as {:?}", String::from_utf8_lossy(input));
        std::panic::resume_unwind(panic);
    }
}

/// A small random number generator, so that the changes are the same everywhere.
fn random(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state as usize
}

fn changed(input: &[u8], state: &mut u64) -> Vec<u8> {
    const EDGES: [u8; 9] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'\n', b'{', b'9'];
    let mut bytes = input.to_vec();
    for _ in 0..=random(state) % 3 {
        let at = random(state) % (bytes.len() + 1);
        let edge = EDGES[random(state) % EDGES.len()];
        match random(state) % 4 {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, edge),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            _ if at < bytes.len() => bytes[at] = edge,
            _ => bytes.push(edge),
        }
    }
    bytes
}

/// The stack of the thread that runs the targets. apache-avro, with which the Avro targets compare our
/// reader, recurses with optimized frames of about 50 KB, where our reader bounds its depth. A test's usual
/// 2 MiB are not always enough.
const STACK: usize = 32 * 1024 * 1024;

#[test]
fn every_target_holds_on_its_corpus_and_near_it() {
    let all = std::thread::Builder::new().stack_size(STACK);
    if let Err(panic) = all.spawn(judge_all).unwrap().join() {
        std::panic::resume_unwind(panic);
    }
}

fn judge_all() {
    let mut state = 0x9e37_79b9_7f4a_7c15;
    for target in TARGETS {
        let inputs = inputs(target.name);
        assert!(!inputs.is_empty(), "{} has no corpus", target.name);
        for (name, input) in &inputs {
            judge(target.run, name, input);
            for _ in 0..CHANGES {
                judge(target.run, name, &changed(input, &mut state));
            }
        }
    }
}

#[test]
fn the_corpus_is_small_and_every_folder_is_a_targets() {
    let mut files = 0;
    for folder in fs::read_dir(corpus()).unwrap() {
        let name = folder.unwrap().file_name().into_string().unwrap();
        assert!(fuzz::target(&name).is_some(), "{name} is no target");
        files += inputs(&name).len();
    }
    assert!(files <= MAX_FILES, "{files} files");
}

#[test]
fn targets_have_names_of_their_own() {
    for (at, target) in TARGETS.iter().enumerate() {
        assert!(TARGETS[..at].iter().all(|other| other.name != target.name));
        (target.run)(b"");
    }
}
