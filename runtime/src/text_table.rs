//! Tables of text with aligned columns, for a person's terminal.

use std::borrow::Cow;

use schemas::printable;

/// Returns the table, one line for the heading and for each row. Columns of whole numbers are aligned
/// to the right. Characters that would break a line or that a terminal acts on are escaped, because
/// cells hold what others wrote.
pub fn aligned(heading: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let heading = heading.iter().map(|cell| (*cell).to_owned()).collect();
    let rows: Vec<Vec<String>> = std::iter::once(heading).chain(rows).collect();
    let rows: Vec<Vec<_>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| printable(cell)).collect())
        .collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            if column > 0 {
                line.push_str("  ");
            }
            let padding = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
            if is_numeric(&rows, column) {
                line.push_str(&padding);
                line.push_str(cell);
            } else {
                line.push_str(cell);
                line.push_str(&padding);
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Returns whether every cell below the heading is a whole number.
fn is_numeric(rows: &[Vec<Cow<'_, str>>], column: usize) -> bool {
    let mut cells = rows.iter().skip(1).filter_map(|row| row.get(column));
    cells.all(|cell| !cell.is_empty() && cell.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_numbers_to_the_right() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let rows = [row(["é", "7"]), row(["status", "12345"])];
        assert_eq!(
            aligned(&["reason", "open"], rows),
            "reason   open\né           7\nstatus  12345\n"
        );
    }

    #[test]
    fn a_cell_breaks_no_line() {
        let rows = [vec!["17\n\x1b[2J".to_owned()]];
        assert_eq!(aligned(&["key"], rows), "key\n17\\n\\u{1b}[2J\n");
    }
}
