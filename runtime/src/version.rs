//! The version of this build, and the revision of the sources that it was built from.
//!
//! The build of a release sets `CHECKOUT_REVISION`. A build script that asks git would compile this
//! crate, and all that depend on it, again at every commit.

use std::sync::LazyLock;

/// Returns the revision of the sources, such as `abcdef0`: the value of `CHECKOUT_REVISION` when this was
/// compiled, or `unknown`.
#[must_use]
pub const fn revision() -> &'static str {
    match option_env!("CHECKOUT_REVISION") {
        Some(revision) if !revision.is_empty() => revision,
        _ => "unknown",
    }
}

/// Returns what `--version` prints after the name of the service: `0.2.0 (revision abcdef0)`.
#[must_use]
pub fn version() -> &'static str {
    static VERSION: LazyLock<String> =
        LazyLock::new(|| format!("{} (revision {})", env!("CARGO_PKG_VERSION"), revision()));
    &VERSION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_number_and_a_revision() {
        let (number, rest) = version().split_once(' ').unwrap();
        let parts: Vec<_> = number.split('.').map(str::parse::<u32>).collect();
        assert_eq!(parts.len(), 3, "{number}");
        assert!(parts.iter().all(Result::is_ok), "{number}");
        assert_eq!(rest, format!("(revision {})", revision()));
        assert!(!revision().is_empty());
    }
}
