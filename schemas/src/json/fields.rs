//! The fields that are asked for, and what was found of them.

use super::string::unescape;
use crate::raw_field::RawField;
use crate::swar;
use crate::text::Text;

/// Names to look for, prepared once.
pub(crate) struct Names<const N: usize> {
    pub(super) texts: [&'static str; N],
    starts: [Start; N],
}

/// How a member starts that is written without escapes and spaces, after its first quote: the name,
/// a quote and a colon. One comparison of two words tells the name, its end and what follows.
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
    /// Of at most 14 bytes each, which need no escapes.
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

/// What was found of the fields that are asked for.
pub(crate) struct Fields<'a, const N: usize> {
    /// One slot per name. Of a text with escapes, as it is written.
    pub(crate) slots: [RawField<'a>; N],
    /// Which texts have escapes.
    escaped: [bool; N],
    has_escapes: bool,
    /// The one after the last that was found: writers keep an order, often this one.
    next: usize,
    /// The first name, in their order, that came twice.
    pub(super) repeated: Option<usize>,
}

impl<'a, const N: usize> Fields<'a, N> {
    pub(crate) const fn none() -> Self {
        Self {
            slots: [RawField::Absent; N],
            escaped: [false; N],
            has_escapes: false,
            next: 0,
            repeated: None,
        }
    }

    /// Whether a field of this name was found, whatever it holds.
    pub(crate) fn has(&self, names: &Names<N>, name: &str) -> bool {
        names
            .position(name.as_bytes())
            .is_some_and(|field| !matches!(self.slots[field], RawField::Absent))
    }

    /// The field of the member that starts at the quote before `text`, and what follows its colon.
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
        if !matches!(self.slots[field], RawField::Absent) {
            self.repeated = Some(self.repeated.map_or(field, |earlier| earlier.min(field)));
        }
        self.slots[field] = found;
    }

    #[cold]
    pub(super) fn mark_escaped(&mut self, field: usize) {
        self.escaped[field] = true;
        self.has_escapes = true;
    }

    /// Whether a text has escapes. Then `slots` are not what the fields hold: see
    /// [`unescaped`](Self::unescaped).
    pub(crate) const fn has_escapes(&self) -> bool {
        self.has_escapes
    }

    /// The texts of the fields whose text has escapes.
    #[cold]
    pub(crate) fn unescaped(&self) -> [Option<String>; N] {
        std::array::from_fn(|at| match self.slots[at] {
            RawField::Text(text) if self.escaped[at] => {
                let text = String::from_utf8(unescape(text.as_bytes()));
                Some(text.expect("the text was checked when it was found"))
            }
            _ => None,
        })
    }

    /// What the fields hold: `texts` where there is one.
    #[cold]
    pub(crate) fn slots_with<'t>(&self, texts: &'t [Option<String>; N]) -> [RawField<'t>; N]
    where
        'a: 't,
    {
        std::array::from_fn(|at| match &texts[at] {
            Some(text) => RawField::Text(Text::from(text.as_str())),
            None => self.slots[at],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_a_fields_only_if_every_byte_of_its_name_is() {
        static NAMES: Names<2> = Names::of(["id", "fourteen_bytes"]);
        fn start(member: &[u8]) -> Option<(usize, &[u8])> {
            Fields::none().start(&NAMES, member)
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
