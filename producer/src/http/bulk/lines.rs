//! A body as lines of bounded length.

use std::time::Duration;

use axum::body::{Body, Bytes};
use futures::{Stream, StreamExt};
use http_body_util::{BodyDataStream, BodyExt, LengthLimitError, Limited};

use super::super::Limits;
use super::super::problem::Problem;

/// A line of the body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// The line's number, from 1. Empty lines are counted.
    pub(super) number: u64,
    /// The line's bytes, or why it cannot be read. Then it is skipped, or is the last one.
    pub(super) content: Result<Vec<u8>, Problem>,
}

/// Cuts a body into lines.
#[derive(Debug)]
pub(super) struct Lines {
    chunks: BodyDataStream<Limited<Body>>,
    cutter: Cutter,
    bulk_limit: u64,
    part_timeout: Duration,
    ended: bool,
}

impl Lines {
    pub(super) fn new(body: Body, limits: &Limits) -> Self {
        let most = usize::try_from(limits.bulk).unwrap_or(usize::MAX);
        Self {
            chunks: Limited::new(body, most).into_data_stream(),
            cutter: Cutter::new(limits.body as usize),
            bulk_limit: limits.bulk,
            part_timeout: limits.body_time,
            ended: false,
        }
    }

    pub(super) fn into_stream(self) -> impl Stream<Item = Line> {
        futures::stream::unfold(self, |mut lines| async move {
            let line = lines.next().await?;
            Some((line, lines))
        })
    }

    async fn next(&mut self) -> Option<Line> {
        loop {
            if let Some(line) = self.cutter.next() {
                return Some(line);
            }
            if self.ended {
                return None;
            }
            match tokio::time::timeout(self.part_timeout, self.chunks.next()).await {
                Ok(Some(Ok(chunk))) => self.cutter.feed(chunk),
                Ok(None) => {
                    self.ended = true;
                    self.cutter.end();
                }
                Ok(Some(Err(error))) if error.is::<LengthLimitError>() => {
                    return self.broken(Problem::TooLarge(self.bulk_limit));
                }
                Ok(Some(Err(_))) => {
                    return self.broken(Problem::BadRequest("the body is incomplete".to_owned()));
                }
                Err(_) => return self.broken(Problem::SlowBody),
            }
        }
    }

    /// Returns a last line with the problem, because the rest of the body cannot be read. Drops an
    /// incomplete line.
    fn broken(&mut self, problem: Problem) -> Option<Line> {
        self.ended = true;
        self.cutter = Cutter {
            number: self.cutter.number,
            ..Cutter::new(0)
        };
        Some(Line {
            number: self.cutter.number + 1,
            content: Err(problem),
        })
    }
}

/// A line's number, and its bytes or why it cannot be read.
pub(crate) type Numbered = (u64, Result<Vec<u8>, Problem>);

/// Returns the lines of a body whose chunks have all arrived.
pub(crate) fn cut(chunks: impl IntoIterator<Item = Bytes>, longest: usize) -> Vec<Numbered> {
    let mut cutter = Cutter::new(longest);
    let mut lines = Vec::new();
    for chunk in chunks {
        cutter.feed(chunk);
        lines.extend(std::iter::from_fn(|| cutter.next()));
    }
    cutter.end();
    lines.extend(std::iter::from_fn(|| cutter.next()));
    lines
        .into_iter()
        .map(|line| (line.number, line.content))
        .collect()
}

/// Cuts chunks into lines; holds no more than one line and one chunk.
#[derive(Debug)]
struct Cutter {
    chunk: Bytes,
    line: Vec<u8>,
    too_long: bool,
    ended: bool,
    number: u64,
    longest: usize,
}

impl Cutter {
    fn new(longest: usize) -> Self {
        Self {
            chunk: Bytes::new(),
            line: Vec::new(),
            too_long: false,
            ended: false,
            number: 0,
            longest,
        }
    }

    fn feed(&mut self, chunk: Bytes) {
        self.chunk = chunk;
    }

    /// Ends the body. The last line does not need a line feed.
    fn end(&mut self) {
        self.ended = true;
    }

    /// Returns the next line that is not empty, once it is complete.
    fn next(&mut self) -> Option<Line> {
        loop {
            match self.chunk.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    let part = self.chunk.split_to(end + 1);
                    self.take(&part[..end]);
                }
                None => {
                    let part = std::mem::take(&mut self.chunk);
                    self.take(&part);
                    if !(self.ended && (self.too_long || !self.line.is_empty())) {
                        return None;
                    }
                }
            }
            self.number += 1;
            let line = std::mem::take(&mut self.line);
            if std::mem::take(&mut self.too_long) {
                return Some(Line {
                    number: self.number,
                    content: Err(Problem::TooLarge(self.longest as u64)),
                });
            }
            if !line.trim_ascii().is_empty() {
                return Some(Line {
                    number: self.number,
                    content: Ok(line),
                });
            }
        }
    }

    fn take(&mut self, part: &[u8]) {
        if self.line.len() + part.len() > self.longest {
            self.too_long = true;
            self.line = Vec::new();
        }
        if !self.too_long {
            self.line.extend_from_slice(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut(chunks: &[&[u8]], longest: usize) -> Vec<(u64, Option<String>)> {
        let chunks = chunks.iter().map(|chunk| Bytes::copy_from_slice(chunk));
        super::cut(chunks, longest)
            .into_iter()
            .map(|(number, content)| {
                let text = content.ok().map(|text| String::from_utf8(text).unwrap());
                (number, text)
            })
            .collect()
    }

    #[test]
    fn lines_are_numbered_and_empty_ones_skipped() {
        let lines = cut(&[b"a\n\n b\r\n", b"c", b"d\ne"], 10);
        let expected = [(1, "a"), (3, " b\r"), (4, "cd"), (5, "e")];
        assert_eq!(
            lines,
            expected.map(|(number, text)| (number, Some(text.to_owned())))
        );
        assert!(cut(&[b"\n\n"], 10).is_empty() && cut(&[], 10).is_empty());
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_and_the_next_ones_are_read() {
        let lines = cut(&[b"abc", b"def", b"g\nok\n", b"abcdefg"], 4);
        assert_eq!(lines, [(1, None), (2, Some("ok".to_owned())), (3, None)]);
    }

    proptest! {
        #[test]
        fn the_boundaries_of_chunks_make_no_difference(text in "[ab\n]{0,40}", at in 0_usize..40) {
            let at = at.min(text.len());
            let (first, second) = text.as_bytes().split_at(at);
            prop_assert_eq!(cut(&[first, second], 5), cut(&[text.as_bytes()], 5));
        }
    }
}
