//! The forms in which a record's key names an order, the same for both formats and both topics.
//!
//! The key should be the order id's own bytes. Serializers, HTTP bridges and converters wrap it. Such
//! a key is accepted if it says the same id as the value: the value names the order, the key confirms
//! it. So neither the registry nor a header is needed to understand a key.
//!
//! Kafka compares keys by their bytes: two forms of one id are two keys, which may be in two
//! partitions and are compacted separately. See docs/adr/0027-forms-of-keys.md.

use std::fmt;

use crate::avro;
use crate::field::Digits;
use crate::json;
use crate::malformed::quoted;
use crate::order_id::OrderId;

/// The first byte of a registry's framing.
const MAGIC: u8 = 0;

/// The lengths of a framing: the zero byte and a schema id of four bytes, or of eight (Apicurio's
/// default before version 3).
const FRAMINGS: [usize; 2] = [5, 9];

/// The maximum number of bytes of a key that are shown in a message.
const MAX_SHOWN: usize = 40;

/// The form in which a writer put an order id into a record's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyForm {
    /// The id's own bytes. Every writer should send these.
    Plain,
    /// A JSON string: the id in quotes.
    Quoted,
    /// A schema registry's framing, then a string or an integer in Avro or JSON.
    Framed,
    /// A string or an integer in Avro without a framing: the schema's id is in a header.
    Avro,
    /// A big-endian integer of four bytes.
    Int,
    /// A big-endian integer of eight bytes.
    Long,
}

impl KeyForm {
    /// Every form.
    pub const ALL: [Self; 6] = [
        Self::Plain,
        Self::Quoted,
        Self::Framed,
        Self::Avro,
        Self::Int,
        Self::Long,
    ];

    /// Returns the form in which `key` says `id`, `None` if it says anything else.
    #[must_use]
    pub fn of(key: &[u8], id: &str) -> Option<Self> {
        if key == id.as_bytes() {
            return Some(Self::Plain);
        }
        if is_json_string(key, id) {
            return Some(Self::Quoted);
        }
        if bodies(key).any(|body| is_content(body, id)) {
            return Some(Self::Framed);
        }
        let form = match *key {
            [a, b, c, d] if is_integer(i32::from_be_bytes([a, b, c, d]).into(), id) => Self::Int,
            [a, b, c, d, e, f, g, h]
                if is_integer(i64::from_be_bytes([a, b, c, d, e, f, g, h]), id) =>
            {
                Self::Long
            }
            // One printable byte is a text: "2" is not the integer 25.
            [b' '..=b'~'] => return None,
            _ if is_avro(key, id) => Self::Avro,
            _ => return None,
        };
        Some(form)
    }

    /// Returns whether the key seems to be framed by a schema registry.
    #[must_use]
    pub fn is_framed(key: &[u8]) -> bool {
        bodies(key).any(|body| content(body).is_some())
    }

    /// Returns the bytes of a key that says `id` in this form, `None` if the id is no integer of that
    /// size, and for [`Framed`](Self::Framed), whose bytes depend on the schema's id.
    ///
    /// The bytes in Avro are those of a string. An integer has others.
    #[must_use]
    pub fn bytes(self, id: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        match self {
            Self::Plain => bytes.extend_from_slice(id.as_bytes()),
            Self::Quoted => json::write_string(id, &mut bytes),
            Self::Framed => return None,
            Self::Avro => avro::write::string(id, &mut bytes),
            Self::Int => {
                let value = integer(id).and_then(|value| i32::try_from(value).ok())?;
                bytes.extend_from_slice(&value.to_be_bytes());
            }
            Self::Long => bytes.extend_from_slice(&integer(id)?.to_be_bytes()),
        }
        Some(bytes)
    }

    /// Returns the name, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Quoted => "quoted",
            Self::Framed => "framed",
            Self::Avro => "avro",
            Self::Int => "int",
            Self::Long => "long",
        }
    }

    /// Returns the form as a part of a sentence, such as "the key is ...".
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Plain => "the id's own bytes",
            Self::Quoted => "a JSON string, in quotes",
            Self::Framed => "framed by a schema registry (a zero byte and a schema id)",
            Self::Avro => "Avro with its schema id in a header",
            Self::Int => "an integer of 4 bytes",
            Self::Long => "an integer of 8 bytes",
        }
    }

    /// Returns what the writer should do so that the key is [`Plain`](Self::Plain).
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Plain => "write the order id as the key, the same in key and value",
            Self::Quoted => {
                "write the order id without quotes: StringSerializer, \
                 key.converter=org.apache.kafka.connect.storage.StringConverter, or the key format \
                 of the HTTP bridge that writes text or binary"
            }
            Self::Framed | Self::Avro => {
                "write the order id as text: key.serializer=StringSerializer, \
                 key.converter=org.apache.kafka.connect.storage.StringConverter"
            }
            Self::Int | Self::Long => {
                "write the order id's decimal digits: key.serializer=StringSerializer"
            }
        }
    }
}

/// Returns the id if the key says it in another form than its own bytes.
#[cold]
#[inline(never)]
pub(crate) fn order_id(key: &[u8], id: OrderId<'_>) -> Option<OrderId<'static>> {
    KeyForm::of(key, id.as_str())?;
    Some(id.into_owned())
}

/// Describes a key that says another id than its value: its form, its bytes and what to write.
pub(crate) struct Mismatch<'a> {
    pub(crate) key: &'a [u8],
    /// Whether the key may hold a secret. Then neither its text nor its bytes are shown.
    pub(crate) is_confidential: bool,
}

impl fmt::Display for Mismatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Guess { form, text } = Guess::of(self.key);
        match form {
            Ok(KeyForm::Plain) => f.write_str("the key is a text")?,
            Ok(form) => write!(f, "the key is {}", form.in_words())?,
            Err(what) => write!(f, "the key is {what}")?,
        }
        if !self.is_confidential {
            if let Some(text) = text {
                write!(f, ", {}", quoted(&text))?;
            }
            write!(f, " ({})", Hex(self.key))?;
        }
        let advice = form.map_or("write the order id as the key", KeyForm::advice);
        write!(f, "; {advice}")
    }
}

/// The form that a key seems to have, whatever id it says.
struct Guess {
    /// The form, or a description of something else.
    form: Result<KeyForm, &'static str>,
    /// The id that the key says, if it can be read.
    text: Option<String>,
}

impl Guess {
    fn of(key: &[u8]) -> Self {
        let known = |form, text| Self {
            form: Ok(form),
            text: Some(text),
        };
        let other = |what| Self {
            form: Err(what),
            text: None,
        };
        if key.is_empty() {
            return other("empty");
        }
        if let Some(text) = json::string_alone(key) {
            return known(KeyForm::Quoted, String::from_utf8_lossy(&text).into_owned());
        }
        let text = std::str::from_utf8(key).ok();
        if let Some(text) = text.filter(|text| !text.contains(char::is_control)) {
            let is_structure = text.starts_with(['{', '[']);
            return match is_structure {
                true => Self {
                    form: Err(
                        "JSON, but not a string (in Kafka Connect, ExtractField$Key takes one field)",
                    ),
                    text: Some(text.to_owned()),
                },
                false => known(KeyForm::Plain, text.to_owned()),
            };
        }
        if let Some(text) = bodies(key).find_map(content) {
            return known(KeyForm::Framed, text);
        }
        match *key {
            [a, b, c, d] => known(KeyForm::Int, i32::from_be_bytes([a, b, c, d]).to_string()),
            [a, b, c, d, e, f, g, h] => known(
                KeyForm::Long,
                i64::from_be_bytes([a, b, c, d, e, f, g, h]).to_string(),
            ),
            [MAGIC, _, _, _, _, _, ..] => Self {
                form: Ok(KeyForm::Framed),
                text: None,
            },
            _ => match avro::string_alone(key) {
                Some(text) => known(KeyForm::Avro, String::from_utf8_lossy(text).into_owned()),
                None => other("bytes that are no text"),
            },
        }
    }
}

/// Shows two digits for each byte, and at most [`MAX_SHOWN`] bytes.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(MAX_SHOWN)];
        f.write_str("0x")?;
        shown.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        if shown.len() < self.0.len() {
            write!(f, "... of {} bytes", self.0.len())?;
        }
        Ok(())
    }
}

/// Returns what follows a registry's framing, for each length of it, if the key begins with one.
fn bodies(key: &[u8]) -> impl Iterator<Item = &[u8]> {
    let framed = key.first() == Some(&MAGIC);
    FRAMINGS
        .into_iter()
        .filter(move |_| framed)
        .filter_map(|length| key.get(length..))
}

/// Returns whether the body behind a framing is this id.
fn is_content(body: &[u8], id: &str) -> bool {
    body == id.as_bytes() || is_json_string(body, id) || is_avro(body, id)
}

/// Returns the body behind a framing as text, if it is a string or an integer.
fn content(body: &[u8]) -> Option<String> {
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
    if let Some(string) = json::string_alone(body) {
        return text(&string);
    }
    if let Some(string) = avro::string_alone(body) {
        return text(string);
    }
    avro::long_alone(body).map(|value| value.to_string())
}

fn is_json_string(bytes: &[u8], id: &str) -> bool {
    json::string_alone(bytes).is_some_and(|text| *text == *id.as_bytes())
}

fn is_avro(bytes: &[u8], id: &str) -> bool {
    avro::string_alone(bytes) == Some(id.as_bytes())
        || avro::long_alone(bytes).is_some_and(|value| is_integer(value, id))
}

fn is_integer(value: i64, id: &str) -> bool {
    Digits::of(value).as_str() == id
}

/// Returns the integer whose decimal digits the id is, without leading zeros.
fn integer(id: &str) -> Option<i64> {
    let value = id.parse().ok()?;
    is_integer(value, id).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_form(key: &[u8], id: &str, expected: Option<KeyForm>) {
        assert_eq!(KeyForm::of(key, id), expected, "{} for {id}", Hex(key));
    }

    #[test]
    fn every_form_is_recognized_and_says_its_own_id_only() {
        for id in ["94", "-5", "9223372036854775807", "A/1", "Größe", "\"94\""] {
            for form in KeyForm::ALL {
                let Some(key) = form.bytes(id) else { continue };
                assert_form(&key, id, Some(form));
                for other in ["95", "094", "+94", " 94", "Größ"] {
                    assert_form(&key, other, None);
                }
            }
        }
    }

    #[test]
    fn a_registrys_framing_holds_a_string_or_an_integer() {
        for framing in [&b"\0\0\0\0\x07"[..], b"\0\0\0\0\0\0\0\0\x07"] {
            // Avro "94", JSON "94", JSON 94, Avro 94.
            for body in [&b"\x0494"[..], b"\"94\"", b"94", b"\xbc\x01"] {
                let key = [framing, body].concat();
                assert_form(&key, "94", Some(KeyForm::Framed));
                assert_form(&key, "95", None);
                assert_form(&key[..key.len() - 1], "94", None);
                assert_form(&[&key[..], b" "].concat(), "94", None);
            }
        }
        assert_form(b"\x01\0\0\0\x07\x0494", "94", None);
        let long = "x".repeat(100);
        let mut body = Vec::new();
        avro::write::string(&long, &mut body);
        assert_form(&body, &long, Some(KeyForm::Avro));
        assert_form(
            &[b"\0\0\0\0\x07", &body[..]].concat(),
            &long,
            Some(KeyForm::Framed),
        );
    }

    #[test]
    fn escapes_of_a_json_string_are_read() {
        for (key, id) in [
            (&br#""A\/1""#[..], "A/1"),
            (br#""Gr\u00f6\u00dfe""#, "Größe"),
            (br#""\ud83d\ude00""#, "😀"),
            (br#""\"94\"""#, "\"94\""),
        ] {
            assert_form(key, id, Some(KeyForm::Quoted));
        }
        for key in [
            &br#"""#[..],
            br#""94"#,
            br#"94""#,
            br#""9"4""#,
            br#""94\""#,
            br#""\x""#,
            br#" "94""#,
        ] {
            assert_form(key, "94", None);
        }
    }

    #[test]
    fn integers_have_the_digits_of_the_id() {
        assert_form(&94_i32.to_be_bytes(), "94", Some(KeyForm::Int));
        assert_form(&94_i64.to_be_bytes(), "94", Some(KeyForm::Long));
        assert_form(&(-94_i64).to_be_bytes(), "-94", Some(KeyForm::Long));
        for id in ["094", "+94", "94.0", "9"] {
            assert_form(&94_i32.to_be_bytes(), id, None);
            assert_form(&94_i64.to_be_bytes(), id, None);
        }
        assert_form(&94_i32.to_le_bytes(), "94", None);
    }

    #[test]
    fn one_printable_byte_is_a_text_and_no_integer() {
        assert_form(b"2", "25", None);
        assert_form(b"2", "2", Some(KeyForm::Plain));
        assert_form(b"\x04", "2", Some(KeyForm::Avro));
    }

    #[test]
    fn a_mismatch_names_the_keys_form_and_shows_its_bytes() {
        let words = |key: &[u8]| {
            let mismatch = Mismatch {
                key,
                is_confidential: false,
            };
            mismatch.to_string()
        };
        for (key, start) in [
            (&b"95"[..], "the key is a text, \"95\" (0x3935); "),
            (
                b"\"95\"",
                "the key is a JSON string, in quotes, \"95\" (0x22393522); ",
            ),
            (
                b"\0\0\0\x5f",
                "the key is an integer of 4 bytes, \"95\" (0x0000005f); ",
            ),
            (
                b"\0\0\0\0\0\0\0\x5f",
                "the key is an integer of 8 bytes, \"95\" (0x000000000000005f); ",
            ),
            (
                b"\0\0\0\0\x07\x0495",
                "the key is framed by a schema registry (a zero byte and a schema id), \"95\" (0x0000000007043935); ",
            ),
            (
                b"{\"id\":94}",
                "the key is JSON, but not a string (in Kafka Connect, ",
            ),
            (b"", "the key is empty (0x); "),
            (b"\xff", "the key is bytes that are no text (0xff); "),
        ] {
            assert!(words(key).starts_with(start), "{}", words(key));
        }
        assert!(words(&[0xff; 100]).contains("... of 100 bytes"));
    }

    #[test]
    fn a_confidential_key_is_described_by_its_form_and_not_its_content() {
        let mismatch = Mismatch {
            key: b"\"SECRET\"",
            is_confidential: true,
        };
        let words = mismatch.to_string();
        assert!(
            words.contains("in quotes") && !words.contains("SECRET"),
            "{words}"
        );
        assert!(!words.contains("0x"), "{words}");
    }
}
