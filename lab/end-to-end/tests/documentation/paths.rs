//! Files that documents name exist, and so do documents that the code names.

use anyhow::Result;

use crate::{documents, files, markdown, name, project};

/// Folders whose files documents name. They are chosen so that transactional ids such as
/// `processor/redrive` do not match.
const FOLDERS: [&str; 18] = [
    "schemas/src/",
    "schemas/tests",
    "runtime/src/",
    "runtime/tests",
    "producer/src/",
    "producer/tests",
    "producer/migrations",
    "processor/src/",
    "processor/tests",
    "sink/src/",
    "sink/tests",
    "sink/migrations",
    "console/src/",
    "console/assets",
    "lab/",
    "deploy/",
    "docs/",
    ".ci/",
];

/// Documents call the end-to-end tests by this shorter name.
const TESTS: &str = "end_to_end/";

/// Returns the path that a code span names, if it names one.
fn named(code: &str) -> Option<String> {
    let is_path = code
        .chars()
        .all(|letter| letter.is_ascii_alphanumeric() || "/._-".contains(letter));
    if !is_path {
        return None;
    }
    if let Some(test) = code.strip_prefix(TESTS) {
        return Some(format!("lab/end-to-end/tests/{TESTS}{test}"));
    }
    let is_ours = FOLDERS.iter().any(|folder| code.starts_with(folder));
    is_ours.then(|| code.to_owned())
}

#[test]
fn every_file_that_a_document_names_exists() -> Result<()> {
    let mut missing = Vec::new();
    for document in documents()? {
        let text = std::fs::read_to_string(&document)?;
        let paths = markdown::code_spans(&text).into_iter().filter_map(named);
        missing.extend(
            paths
                .filter(|path| !project().join(path).exists())
                .map(|path| format!("{}: {path}", name(&document))),
        );
    }
    assert!(missing.is_empty(), "\n{}", missing.join("\n"));
    Ok(())
}

/// Returns the documents and decisions that a source text names, as the beginnings of their paths.
fn documents_named_in(code: &str) -> Vec<String> {
    let mut named = Vec::new();
    for (start, _) in code.match_indices("docs/") {
        let path = code.get(start..).unwrap_or_default();
        let end =
            path.find(|letter: char| !(letter.is_ascii_alphanumeric() || "/._-".contains(letter)));
        let path = path.get(..end.unwrap_or(path.len())).unwrap_or_default();
        if let Some((path, _)) = path.split_once(".md") {
            named.push(format!("{path}.md"));
        }
    }
    for (start, marker) in code.match_indices("ADR ") {
        let number = code.get(start + marker.len()..start + marker.len() + 4);
        if let Some(number) =
            number.filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
        {
            named.push(format!("docs/adr/{number}-"));
        }
    }
    named
}

#[test]
fn every_document_that_the_code_names_exists() -> Result<()> {
    let all: Vec<String> = documents()?.iter().map(|path| name(path)).collect();
    let mut missing = Vec::new();
    for file in files(project(), &["rs", "toml", "yml", "sql", "py"])? {
        for document in documents_named_in(&std::fs::read_to_string(&file)?) {
            if !all.iter().any(|path| path.starts_with(&document)) {
                missing.push(format!("{}: {document}", name(&file)));
            }
        }
    }
    assert!(missing.is_empty(), "\n{}", missing.join("\n"));
    Ok(())
}
