//! The fields that are read, and what was found in them.

use super::string::unescape;
use crate::raw_field::RawField;
use crate::swar;
use crate::text::Text;

/// The names of the fields that are read, prepared once.
pub(crate) struct Names<const N: usize> {
    pub(super) texts: [&'static str; N],
    starts: [Start; N],
}

/// How a member without escapes and spaces starts, after its first quote: the name, a quote and a
/// colon. One comparison of sixteen bytes checks all three.
#[derive(Clone, Copy)]
struct Start {
    bytes: u128,
    mask: u128,
    length: usize,
}

impl Start {
    const fn of(name: &str) -> Self {
        let (name, length) = (name.as_bytes(), name.len() + 2);
        assert!(length <= size_of::<u128>(), "the name is too long");
        let mut bytes = [0; size_of::<u128>()];
        let mut mask = [0; size_of::<u128>()];
        let mut at = 0;
        while at < length {
            mask[at] = 0xff;
            bytes[at] = if at < name.len() {
                name[at]
            } else {
                b"\":"[at - name.len()]
            };
            at += 1;
        }
        Self {
            bytes: u128::from_le_bytes(bytes),
            mask: u128::from_le_bytes(mask),
            length,
        }
    }
}

impl<const N: usize> Names<N> {
    /// Takes names of at most 14 bytes each that need no escapes.
    pub(crate) const fn of(texts: [&'static str; N]) -> Self {
        let mut starts = [Start {
            bytes: 0,
            mask: 0,
            length: 0,
        }; N];
        let mut at = 0;
        while at < N {
            starts[at] = Start::of(texts[at]);
            at += 1;
        }
        Self { texts, starts }
    }

    pub(super) fn position(&self, name: &[u8]) -> Option<usize> {
        self.texts.iter().position(|known| known.as_bytes() == name)
    }
}

/// The contents of the fields that are read.
pub(crate) struct Found<'a, const N: usize> {
    /// The content for each name. A text with escapes is kept as it is written.
    pub(crate) fields: [RawField<'a>; N],
    /// Which of the fields are texts with escapes.
    escaped: [bool; N],
    has_escapes: bool,
    /// The field after the last one that was found. It is tried first, because writers usually keep one
    /// order of the fields, and often this one.
    next: usize,
    /// The first of the fields that came twice.
    pub(super) repeated: Option<usize>,
}

impl<'a, const N: usize> Found<'a, N> {
    pub(crate) const fn none() -> Self {
        Self {
            fields: [RawField::Absent; N],
            escaped: [false; N],
            has_escapes: false,
            next: 0,
            repeated: None,
        }
    }

    /// Returns whether a field of this name was found, whatever it holds.
    pub(crate) fn has(&self, names: &Names<N>, name: &str) -> bool {
        names
            .position(name.as_bytes())
            .is_some_and(|field| !matches!(self.fields[field], RawField::Absent))
    }

    /// Returns the field of the member that starts at the quote before `text`, and what follows its
    /// colon.
    #[inline(always)]
    pub(super) fn start(&mut self, names: &Names<N>, text: &'a [u8]) -> Option<(usize, &'a [u8])> {
        let found = swar::first_two(text);
        let is_field = |start: &Start| found & start.mask == start.bytes;
        let field = match names.starts.get(self.next) {
            Some(start) if is_field(start) => self.next,
            _ => names.starts.iter().position(is_field)?,
        };
        self.next = field + 1;
        Some((field, text.get(names.starts[field].length..)?))
    }

    #[inline(always)]
    pub(super) fn fill(&mut self, field: usize, found: RawField<'a>) {
        if !matches!(self.fields[field], RawField::Absent) {
            self.repeated = Some(self.repeated.map_or(field, |earlier| earlier.min(field)));
        }
        self.fields[field] = found;
    }

    #[cold]
    pub(super) fn mark_escaped(&mut self, field: usize) {
        self.escaped[field] = true;
        self.has_escapes = true;
    }

    /// Returns whether a text has escapes. Then `fields` is not what the record says: see
    /// [`unescaped`](Self::unescaped).
    pub(crate) const fn has_escapes(&self) -> bool {
        self.has_escapes
    }

    /// Returns the texts of the fields whose text has escapes.
    #[cold]
    pub(crate) fn unescaped(&self) -> [Option<String>; N] {
        std::array::from_fn(|at| match self.fields[at] {
            RawField::Text(text) if self.escaped[at] => {
                let text = String::from_utf8(unescape(text.as_bytes()));
                Some(text.expect("the text was checked when it was found"))
            }
            _ => None,
        })
    }

    /// Returns the fields, with `texts` in place of those that have escapes.
    #[cold]
    pub(crate) fn with<'t>(&self, texts: &'t [Option<String>; N]) -> [RawField<'t>; N]
    where
        'a: 't,
    {
        std::array::from_fn(|at| match &texts[at] {
            Some(text) => RawField::Text(Text::from(text.as_str())),
            None => self.fields[at],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_matches_a_field_only_if_every_byte_of_its_name_matches() {
        static NAMES: Names<2> = Names::of(["id", "fourteen_bytes"]);
        fn start(member: &[u8]) -> Option<(usize, &[u8])> {
            Found::none().start(&NAMES, member)
        }
        for (field, name) in NAMES.texts.into_iter().enumerate() {
            let member = format!("{name}\":1").into_bytes();
            assert_eq!(start(&member), Some((field, &b"1"[..])));
            for at in 0..name.len() + 2 {
                let mut other = member.clone();
                other[at] ^= 1;
                assert_eq!(start(&other), None);
                assert_eq!(start(&member[..at]), None);
            }
        }
    }
}
