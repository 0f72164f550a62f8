//! The names that registries give to schemas.

use std::fmt;

/// The id by which a value names its schema. Not every registry resolves all kinds of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SchemaId {
    /// An id of Confluent's API, four bytes on the wire.
    Id(u32),
    /// Apicurio's number of one version of one artifact, eight bytes on the wire.
    GlobalId(u64),
    /// Apicurio's number of a content, which several artifacts may share; eight bytes on the wire.
    ContentId(u64),
    /// Confluent's fingerprint of a schema, the same in every registry.
    Guid([u8; 16]),
}

impl SchemaId {
    /// Returns whether a registry may have given the id. Registries count from 1 in signed numbers, and do
    /// not answer "not found" to other numbers.
    #[must_use]
    pub const fn is_possible(self) -> bool {
        match self {
            Self::Id(id) => 0 < id && id <= i32::MAX as u32,
            Self::GlobalId(id) | Self::ContentId(id) => 0 < id && id <= i64::MAX as u64,
            Self::Guid(_) => true,
        }
    }
}

/// For a message: `schema 7`, `schema with global id 7`.
impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "schema {id}"),
            Self::GlobalId(id) => write!(f, "schema with global id {id}"),
            Self::ContentId(id) => write!(f, "schema with content id {id}"),
            Self::Guid(guid) => write!(f, "schema {}", Guid(guid)),
        }
    }
}

/// Shows a GUID as the URL of a registry has it.
#[derive(Debug, Clone, Copy)]
pub struct Guid<'a>(pub &'a [u8; 16]);

impl fmt::Display for Guid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_registry_gives_zero_or_what_is_negative_as_a_signed_number() {
        for id in [1, 7, i32::MAX as u32] {
            assert!(SchemaId::Id(id).is_possible());
        }
        for id in [0, 0x8000_0000, 0xc3a9_c3a9, u32::MAX] {
            assert!(!SchemaId::Id(id).is_possible());
        }
        assert!(SchemaId::GlobalId(i64::MAX as u64).is_possible());
        assert!(!SchemaId::GlobalId(0).is_possible());
        assert!(!SchemaId::ContentId(u64::MAX).is_possible());
    }

    #[test]
    fn a_guid_is_shown_as_registries_write_it() {
        let guid = *b"\xcc\x0e\x0e\x0e\x53\xc1\x4a\x1a\x8f\x1a\0\0\0\0\0\x01";
        assert_eq!(
            SchemaId::Guid(guid).to_string(),
            "schema cc0e0e0e-53c1-4a1a-8f1a-000000000001"
        );
    }
}
