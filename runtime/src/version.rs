//! What was built.

/// Returns the commit that the process was built from, as `CHECKOUT_REVISION` said during the build;
/// `unknown` without it.
pub fn revision() -> &'static str {
    option_env!("CHECKOUT_REVISION").unwrap_or("unknown")
}
