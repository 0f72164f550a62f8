//! The code of a voucher. It is derived, not drawn at random.
//!
//! MAC = HMAC-SHA256(key, `voucher/1` 00 campaign 00 order id). The code is the first 75 bits of
//! the MAC, five per symbol in Crockford's base 32, and a Luhn mod 32 check character:
//! `XXXX-XXXX-XXXX-XXXX`. Without the key a code cannot be guessed (75 bits), the check character
//! detects mistyped codes, and a replay derives the same code.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Crockford's base 32: no I, L, O, U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Symbols before the check character.
const SYMBOLS: usize = 15;

/// Characters of a printed code: 16 symbols and three dashes.
pub const CODE_LENGTH: usize = SYMBOLS + 1 + 3;

/// A printed code. It is a bearer secret, so its `Debug` does not show it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Code([u8; CODE_LENGTH]);

impl Code {
    /// Returns the code as it is printed, in ASCII.
    pub fn as_str(&self) -> &str {
        // A code consists of characters of the alphabet and dashes.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(****)")
    }
}

/// A signing key as the HMAC state after its first block. The state is cloned for each code, which
/// saves two of four compressions.
#[derive(Clone)]
pub struct SigningKey {
    state: Hmac<Sha256>,
    id: String,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.id)
    }
}

impl SigningKey {
    /// The least number of bytes of a key: the output size of the hash.
    pub const MIN_BYTES: usize = 32;

    /// Makes a key of at least [`Self::MIN_BYTES`] bytes; `None` for fewer.
    pub fn new(key: &[u8]) -> Option<Self> {
        if key.len() < Self::MIN_BYTES {
            return None;
        }
        let state = <Hmac<Sha256> as KeyInit>::new_from_slice(key).ok()?;
        let mac = state
            .clone()
            .chain_update(b"key-id")
            .finalize()
            .into_bytes();
        let id = mac[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        Some(Self { state, id })
    }

    /// Returns the first 8 hex digits of HMAC(key, `key-id`), which identify the key without
    /// revealing it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the code of an order's voucher in a campaign.
    pub fn code(&self, campaign: &str, order_id: &str) -> Code {
        let mut mac = self.state.clone();
        for part in [
            b"voucher/1".as_slice(),
            &[0],
            campaign.as_bytes(),
            &[0],
            order_id.as_bytes(),
        ] {
            mac.update(part);
        }
        let mac = mac.finalize().into_bytes();
        let mut symbols = [0_u8; SYMBOLS + 1];
        for (index, symbol) in symbols[..SYMBOLS].iter_mut().enumerate() {
            *symbol = five_bits(&mac, index * 5);
        }
        symbols[SYMBOLS] = check_symbol(&symbols[..SYMBOLS]);
        print(&symbols)
    }
}

/// Returns the five bits of `bytes` that start at bit `first`, most significant first.
fn five_bits(bytes: &[u8], first: usize) -> u8 {
    let pair = u16::from_be_bytes([bytes[first / 8], bytes[first / 8 + 1]]);
    u8::try_from((pair >> (11 - first % 8)) & 31).unwrap_or_default()
}

/// Returns the Luhn mod 32 check symbol. Every second symbol from the right is doubled and its two
/// base 32 digits are added, starting with the one next to the check symbol. The check symbol makes
/// the sum a multiple of 32.
fn check_symbol(symbols: &[u8]) -> u8 {
    let sum: u8 = symbols
        .iter()
        .rev()
        .enumerate()
        .map(|(index, symbol)| {
            let addend = if index % 2 == 0 { symbol * 2 } else { *symbol };
            addend / 32 + addend % 32
        })
        .fold(0, |sum, addend| (sum + addend) % 32);
    (32 - sum) % 32
}

fn print(symbols: &[u8; SYMBOLS + 1]) -> Code {
    let mut code = [b'-'; CODE_LENGTH];
    for (index, symbol) in symbols.iter().enumerate() {
        code[index + index / 4] = ALPHABET[usize::from(*symbol)];
    }
    Code(code)
}

/// Why a typed code is not well formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// It does not have 16 symbols.
    #[error("a code has 16 symbols, four groups of four")]
    Length,
    /// It has a character outside of Crockford's alphabet.
    #[error("a code consists of digits and letters other than U")]
    Character,
    /// Its check character is wrong.
    #[error("the check character does not match: a symbol is mistyped, or two are swapped")]
    Check,
}

/// Parses a code as people type it: in any case, with I and L for 1 and O for 0, and with dashes
/// and spaces anywhere. A well-formed code was not necessarily issued.
///
/// # Errors
/// Says what is wrong with the code.
pub fn verify_form(typed: &str) -> Result<Code, FormError> {
    let mut symbols = [0_u8; SYMBOLS + 1];
    let mut count = 0;
    for character in typed
        .chars()
        .filter(|character| !matches!(character, '-' | ' '))
    {
        let canonical = match character.to_ascii_uppercase() {
            'I' | 'L' => '1',
            'O' => '0',
            other => other,
        };
        let value = ALPHABET
            .iter()
            .position(|symbol| char::from(*symbol) == canonical)
            .and_then(|position| u8::try_from(position).ok())
            .ok_or(FormError::Character)?;
        *symbols.get_mut(count).ok_or(FormError::Length)? = value;
        count += 1;
    }
    if count != symbols.len() {
        return Err(FormError::Length);
    }
    if check_symbol(&symbols[..SYMBOLS]) != symbols[SYMBOLS] {
        return Err(FormError::Check);
    }
    Ok(print(&symbols))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SigningKey {
        let bytes: Vec<u8> = (0..32).collect();
        SigningKey::new(&bytes).unwrap()
    }

    #[test]
    fn the_designs_vectors() {
        for (campaign, order, code) in [
            ("order-reward", "17", "A527-R3XF-YDHK-X2AD"),
            (
                "order-reward",
                "019a8f4e-7c1b-7000-8000-000000000001",
                "BJGZ-KS6E-A4SQ-Q26Z",
            ),
            ("spring-2027", "17", "303S-RTTP-7JWZ-DYES"),
        ] {
            assert_eq!(key().code(campaign, order).as_str(), code);
        }
        assert_eq!(key().id(), "fa0cde5e");
    }

    #[test]
    fn a_short_key_is_no_key() {
        assert!(SigningKey::new(&[1; 31]).is_none());
    }

    #[test]
    fn a_typed_code_is_parsed_as_people_type() {
        let code = key().code("order-reward", "17");
        assert_eq!(verify_form("a527 r3xf ydhk x2ad"), Ok(code));
        // O stands for 0, I and L for 1.
        let ambiguous = key().code("spring-2027", "17");
        assert_eq!(verify_form("3O3S-RTTP-7JWZ-DYES"), Ok(ambiguous));
        assert_eq!(verify_form("A527-R3XF-YDHK-X2A"), Err(FormError::Length));
        assert_eq!(verify_form("A527-R3XF-YDHK-X2ADD"), Err(FormError::Length));
        assert_eq!(
            verify_form("A527-R3XF-YDHK-X2AU"),
            Err(FormError::Character)
        );
    }

    #[test]
    fn one_mistyped_symbol_never_passes() {
        let code = key().code("order-reward", "17");
        for position in (0..CODE_LENGTH).filter(|position| code.0[*position] != b'-') {
            for symbol in ALPHABET
                .iter()
                .filter(|symbol| **symbol != code.0[position])
            {
                let mut typed = code.0;
                typed[position] = *symbol;
                let typed = std::str::from_utf8(&typed).unwrap();
                assert_eq!(verify_form(typed), Err(FormError::Check), "{typed}");
            }
        }
    }

    #[test]
    fn a_code_does_not_show_in_debug() {
        let code = key().code("order-reward", "17");
        assert!(!format!("{code:?}").contains("A527"));
    }
}
