//! The bytes of all records of a batch, in allocations that are reused from batch to batch.

use std::ops::Range;

use crate::limits::MAX_KEPT_ARENA_BYTES;

/// Keys, values and headers of all records to be written, one after another.
#[derive(Debug, Default)]
pub(super) struct Arena {
    /// Public to `batch` because the encoders append values here.
    pub(super) bytes: Vec<u8>,
    names: String,
    headers: Vec<Header>,
}

#[derive(Debug)]
struct Header {
    name: Name,
    value: Option<Range<usize>>,
}

#[derive(Debug)]
enum Name {
    /// A name of this project.
    Known(&'static str),
    /// A name copied from the original of a dead letter.
    Copied(Range<usize>),
}

impl Arena {
    pub(super) fn get(&self, range: &Range<usize>) -> &[u8] {
        &self.bytes[range.clone()]
    }

    /// Appends bytes, and returns where they are.
    pub(super) fn put(&mut self, bytes: &[u8]) -> Range<usize> {
        let from = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        from..self.bytes.len()
    }

    /// Returns the number of headers, which is where those of the next record begin.
    pub(super) const fn header_count(&self) -> usize {
        self.headers.len()
    }

    /// Returns the headers in `range`, in order.
    pub(super) fn headers(
        &self,
        range: &Range<usize>,
    ) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        self.headers[range.clone()].iter().map(|header| {
            let name: &str = match &header.name {
                Name::Known(name) => name,
                Name::Copied(range) => &self.names[range.clone()],
            };
            (name, header.value.as_ref().map(|value| self.get(value)))
        })
    }

    pub(super) fn add_header(&mut self, name: &'static str, value: &[u8]) {
        let value = Some(self.put(value));
        self.headers.push(Header {
            name: Name::Known(name),
            value,
        });
    }

    pub(super) fn add_number_header(&mut self, name: &'static str, number: i64) {
        self.add_header(name, itoa::Buffer::new().format(number).as_bytes());
    }

    pub(super) fn copy_header(&mut self, name: &str, value: Option<&[u8]>) {
        let from = self.names.len();
        self.names.push_str(name);
        let name = Name::Copied(from..self.names.len());
        let value = value.map(|value| self.put(value));
        self.headers.push(Header { name, value });
    }

    /// Removes everything, and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.headers.clear();
        self.names.clear();
        self.bytes.clear();
    }

    /// Gives back memory beyond what usual batches need.
    pub(super) fn shrink(&mut self) {
        self.bytes.shrink_to(MAX_KEPT_ARENA_BYTES);
    }
}
