//! Parts of pages that are generated from the code.
//!
//! `UPDATE_DOCS=1 cargo test --test documentation` writes them anew.

use anyhow::{Context, Result};

use crate::project;

const BEGIN: &str = "<!-- generated: begin -->\n";
const END: &str = "<!-- generated: end -->\n";

/// Compares the generated part of a page with `expected`, or writes it if `UPDATE_DOCS` is set.
pub(crate) fn compare(page: &str, expected: &str) -> Result<()> {
    let path = project().join(page);
    let text = std::fs::read_to_string(&path)?;
    let (before, rest) = text.split_once(BEGIN).context(BEGIN)?;
    let (written, after) = rest.split_once(END).context(END)?;
    let expected = format!("\n{expected}\n");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{expected}{END}{after}"))?;
        return Ok(());
    }
    assert_is(page, written, &expected);
    Ok(())
}

/// Compares a file that is generated as a whole with `expected`, or writes it if `UPDATE_DOCS` is set.
pub(crate) fn compare_file(file: &str, expected: &str) -> Result<()> {
    let path = project().join(file);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, expected)?;
        return Ok(());
    }
    let written = std::fs::read_to_string(&path)?;
    assert_is(file, &written, expected);
    Ok(())
}

/// Asserts that the text of a file is the expected one; the message shows the first line that differs.
fn assert_is(file: &str, written: &str, expected: &str) {
    let mut lines = written.lines().zip(expected.lines());
    assert!(
        written == expected,
        "{file} is not what the code says, at {:?}; \
         UPDATE_DOCS=1 cargo test --test documentation writes it anew",
        lines.find(|(old, new)| old != new)
    );
}

/// Returns a row of a Markdown table.
pub(crate) fn row(cells: &[&str]) -> String {
    let cells = cells.iter().map(|cell| match *cell {
        "" => " |".to_owned(),
        cell => format!(" {cell} |"),
    });
    format!("|{}\n", cells.collect::<String>())
}

/// Escapes a text for a cell of a Markdown table.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('|', "\\|")
        .replace('<', "&lt;")
        .replace('*', "\\*")
}
