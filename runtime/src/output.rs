//! Standard output, for results, and standard error, for messages. All output is written through
//! this module: a result that could not be written is a failure, and a reader that has gone away
//! causes no panic.

use std::io::{ErrorKind, Write};

use crate::lifecycle::Failure;

/// What a shell reports for a program that SIGPIPE ended (128 + 13).
const READER_GONE: u8 = 141;

/// Prints `text` to standard output and flushes it.
///
/// # Errors
/// Exit code 141, without a message, when the reader has gone away (`| head`), as other tools end
/// then; exit code 1 when the text cannot be written, for example because the disk is full.
pub fn print(text: &str) -> Result<(), Failure> {
    write(&mut std::io::stdout().lock(), text)
}

/// Prints `text` and a line break to standard output.
///
/// # Errors
/// As [`print()`].
pub fn print_line(text: &str) -> Result<(), Failure> {
    print(&format!("{text}\n"))
}

/// Prints a line to standard error, and ignores an error: there is nowhere left to report it.
pub fn eprint_line(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn write(out: &mut impl Write, text: &str) -> Result<(), Failure> {
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe => Failure::silent(READER_GONE),
            _ => Failure::failed(format!("cannot write to standard output: {error}")),
        })
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// Accepts every write, and fails when it is flushed.
    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn a_reader_that_is_gone_is_no_error_message_and_a_full_disk_is_one() {
        let gone = write(&mut Failing(ErrorKind::BrokenPipe), "a").unwrap_err();
        assert_eq!((gone.code(), gone.to_string().as_str()), (141, ""));
        let full = write(&mut Failing(ErrorKind::StorageFull), "a").unwrap_err();
        assert_eq!(full.code(), 1);
        assert!(
            full.to_string()
                .starts_with("cannot write to standard output: ")
        );
    }
}
