//! The output of a command, in bounded memory: pure.

use std::collections::VecDeque;

use serde_json::Value;

use super::sentence::error_in;

/// The maximum number of bytes of a result that are kept while a command writes it.
pub(super) const MAX_OUTPUT: usize = 8 * 1024 * 1024;

/// The maximum number of bytes of a line that are kept.
pub(super) const MAX_LINE: usize = 2 * 1024;

/// The maximum number of bytes of a result that stay in memory when a run has ended.
pub(super) const MAX_RESULT: usize = 1024 * 1024;

/// The field of a result that names the omitted fields.
const CUT: &str = "cut";

/// The standard output of a command.
#[derive(Debug, Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    is_too_long: bool,
}

impl Output {
    /// Adds output that was read. Output beyond the limit is dropped; it is still read, so that the
    /// command is not blocked.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.bytes.len() + bytes.len() > MAX_OUTPUT {
            self.is_too_long = true;
            self.bytes = Vec::new();
        }
        if !self.is_too_long {
            self.bytes.extend_from_slice(bytes);
        }
    }

    /// Returns whether the command wrote more than the limit, so that there is no result.
    pub(super) const fn is_too_long(&self) -> bool {
        self.is_too_long
    }

    /// Returns the JSON that was written: all of it, or the last line.
    pub(super) fn result(&self) -> Option<Value> {
        serde_json::from_slice(&self.bytes).ok().or_else(|| {
            let lines = self.bytes.split(|byte| *byte == b'\n');
            let last = lines.rev().find(|line| !line.trim_ascii().is_empty())?;
            serde_json::from_slice(last).ok()
        })
    }
}

/// Splits output into lines, each truncated to [`MAX_LINE`] bytes.
#[derive(Debug, Default)]
pub(super) struct Lines {
    line: Vec<u8>,
    is_cut: bool,
}

impl Lines {
    /// Adds output that was read, and calls `each` with every complete line.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(String)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.extend(&bytes[..end]);
            each(self.take());
            bytes = &bytes[end + 1..];
        }
        self.extend(bytes);
    }

    /// Returns the last line, if it has no line break.
    pub(super) fn rest(mut self) -> Option<String> {
        (!self.line.is_empty()).then(|| self.take())
    }

    fn extend(&mut self, bytes: &[u8]) {
        let room = MAX_LINE - self.line.len();
        self.is_cut |= bytes.len() > room;
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn take(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.line);
        let mut line = schemas::printable(text.trim_end_matches('\r')).to_string();
        if self.is_cut {
            line.push_str(" ... (cut)");
        }
        *self = Self::default();
        line
    }
}

/// The last lines of a log.
#[derive(Debug, Default)]
pub(super) struct Log(VecDeque<String>);

impl Log {
    /// The maximum number of lines that are kept.
    pub(super) const MAX: usize = 200;

    /// Adds a line, and drops the oldest beyond the limit.
    pub(super) fn push(&mut self, line: String) {
        if self.0.len() == Self::MAX {
            self.0.pop_front();
        }
        self.0.push_back(line);
    }

    /// Returns the lines, the oldest first.
    pub(super) fn lines(&self) -> Vec<String> {
        self.0.iter().cloned().collect()
    }

    /// Returns the error that the command reported last.
    pub(super) fn error(&self) -> Option<String> {
        let lines: Vec<_> = self.0.iter().collect();
        error_in(&lines)
    }
}

/// Makes a result fit into `limit` bytes: omits its largest fields, and names them in `cut`.
pub(super) fn fitting(mut result: Value, limit: usize) -> Value {
    let size = |value: &Value| value.to_string().len();
    let mut cut = Vec::new();
    while size(&result) > limit {
        let Some(fields) = result.as_object_mut() else {
            return serde_json::json!({ CUT: ["everything"] });
        };
        let largest = fields
            .iter()
            .filter(|(name, _)| *name != CUT)
            .max_by_key(|(_, value)| size(value))
            .map(|(name, _)| name.clone());
        let Some(largest) = largest else {
            return serde_json::json!({ CUT: ["everything"] });
        };
        fields.remove(&largest);
        cut.push(largest);
        fields.insert(CUT.to_owned(), cut.clone().into());
    }
    result
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for chunk in chunks {
            lines.push(chunk, |line| found.push(line));
        }
        found.extend(lines.rest());
        found
    }

    #[test]
    fn lines_are_found_wherever_the_reads_end() {
        assert_eq!(
            lines(&[b"a", b"b\nc\r\n", b"", b"\nd"]),
            ["ab", "c", "", "d"]
        );
        assert!(!lines(&[b"a\x1b[31m\xff\n"])[0].contains('\x1b'));
        assert!(lines(&[]).is_empty());
    }

    #[test]
    fn a_line_is_cut_and_the_next_one_is_whole() {
        let long = vec![b'a'; 3 * MAX_LINE];
        let found = lines(&[&long, &long, b"\nnext\n"]);
        assert_eq!(found[0], format!("{} ... (cut)", "a".repeat(MAX_LINE)));
        assert_eq!(found[1], "next");
    }

    #[test]
    fn the_last_lines_of_a_log_are_kept() {
        let mut log = Log::default();
        log.push("error: the oldest".to_owned());
        assert_eq!(log.error().unwrap(), "the oldest");
        for number in 0..Log::MAX {
            log.push(number.to_string());
        }
        assert_eq!(log.error(), None);
        let lines = log.lines();
        assert_eq!((lines.len(), lines[0].as_str()), (Log::MAX, "0"));
    }

    #[test]
    fn a_result_is_all_or_the_last_line() {
        let result = |text: &str| {
            let mut output = Output::default();
            output.push(text.as_bytes());
            output.result()
        };
        assert_eq!(result("{\n  \"a\": 1\n}\n"), Some(json!({"a": 1})));
        assert_eq!(result("note\n{\"a\":1}\n\n"), Some(json!({"a": 1})));
        assert_eq!(result("note\n"), None);
        assert_eq!(result(""), None);
    }

    #[test]
    fn too_much_output_is_no_result() {
        let mut output = Output::default();
        let chunk = vec![b'1'; MAX_OUTPUT / 2 + 1];
        output.push(&chunk);
        assert!(!output.is_too_long());
        output.push(&chunk);
        output.push(b"{}");
        assert!(output.is_too_long());
        assert_eq!(output.result(), None);
    }

    #[test]
    fn a_large_result_names_what_was_left_out() {
        let large = json!({"closed": 3, "letters": "a".repeat(300), "notes": "b".repeat(200)});
        assert_eq!(fitting(large.clone(), 1000), large);
        let cut = fitting(large.clone(), 300);
        assert_eq!(cut["cut"], json!(["letters"]));
        assert_eq!(cut["closed"], 3);
        assert_eq!(
            fitting(large, 60),
            json!({"closed": 3, "cut": ["letters", "notes"]})
        );
        assert_eq!(
            fitting(json!("a".repeat(99)), 50),
            json!({"cut": ["everything"]})
        );
    }
}
