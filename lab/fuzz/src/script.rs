//! Reads an input as a list of choices. After its end every choice is the first one, so that building from
//! it ends.

/// The rest of the input.
pub(crate) struct Script<'a> {
    rest: &'a [u8],
}

impl<'a> Script<'a> {
    pub(crate) const fn new(input: &'a [u8]) -> Self {
        Self { rest: input }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((byte, rest)) = self.rest.split_first() else {
            return 0;
        };
        self.rest = rest;
        *byte
    }

    /// Returns one of `count` choices, which are at most 256.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        usize::from(self.byte()) % count
    }

    pub(crate) fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Returns an integer: a small one, any one, or a bound.
    pub(crate) fn integer(&mut self) -> i64 {
        match self.below(4) {
            0 => i64::from(self.byte() as i8),
            1 => {
                let mut bytes = [0; 8];
                let taken = self.take(8);
                bytes[..taken.len()].copy_from_slice(taken);
                i64::from_le_bytes(bytes)
            }
            2 => self.choose(&[i64::MIN, i64::MAX, i64::from(i32::MAX), i64::from(i32::MIN)]),
            // Milliseconds of the years 2000 to 2099.
            _ => 946_684_800_000 + i64::from(self.byte()) * 12_345_678_901,
        }
    }

    /// Returns `length` bytes, or fewer at the end.
    pub(crate) fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    /// Reads a length, and returns that many bytes, or fewer at the end.
    pub(crate) fn bytes(&mut self) -> &'a [u8] {
        let length = self.below(256);
        self.take(length)
    }

    pub(crate) fn maybe_bytes(&mut self) -> Option<&'a [u8]> {
        (self.below(4) > 0).then(|| self.bytes())
    }

    pub(crate) fn text(&mut self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.rest
    }
}
