//! Failures that are reported together.

use super::Failure;

/// Collects the failures of settings that do not depend on each other, so that a person sees all of
/// them at once.
#[derive(Debug, Default)]
pub struct Failures(Vec<Failure>);

impl Failures {
    /// Returns the value, or keeps the failure.
    pub fn keep<T>(&mut self, result: Result<T, Failure>) -> Option<T> {
        result.map_err(|failure| self.push(failure)).ok()
    }

    /// Adds a failure.
    pub fn push(&mut self, failure: Failure) {
        self.0.push(failure);
    }

    /// Returns whether there is no failure.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns an error if there is any failure.
    ///
    /// # Errors
    /// One failure that reports all of them.
    pub fn into_result(self) -> Result<(), Failure> {
        match self.is_empty() {
            true => Ok(()),
            false => Err(self.into()),
        }
    }
}

/// One failure with the messages of all, each of which begins with `error:`, and the exit code of the
/// first.
impl From<Failures> for Failure {
    fn from(Failures(failures): Failures) -> Self {
        let messages: Vec<_> = failures.iter().map(ToString::to_string).collect();
        Self {
            code: failures.first().map_or(2, Failure::code),
            message: messages.join("\nerror: "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_failures_are_reported_at_once() {
        let mut failures = Failures::default();
        assert_eq!(failures.keep(Ok(1)), Some(1));
        assert!(failures.is_empty());
        let refused: Option<()> = failures.keep(Err(Failure::bad_setting("one")));
        assert_eq!(refused, None);
        failures.push(Failure::bad_setting("two"));
        let all = failures.into_result().unwrap_err();
        assert_eq!(all.code(), 2);
        assert_eq!(all.to_string(), "one\nerror: two");
        assert!(Failures::default().into_result().is_ok());
    }
}
