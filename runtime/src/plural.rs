//! Counts in sentences.

use std::fmt::Display;

/// Returns a count with its noun: `1 record`, `2 records`, `0 records`.
pub fn count<N: Display + PartialEq + From<u8>>(number: N, noun: &str) -> String {
    let plural = if number == N::from(1) { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_all_else_plural() {
        assert_eq!(count(1_u64, "record"), "1 record");
        assert_eq!(count(0_usize, "dead letter"), "0 dead letters");
        assert_eq!(count(2_i64, "order"), "2 orders");
    }
}
