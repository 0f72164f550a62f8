//! The two formats of a value.

/// The format of a value: Avro, whose schema the registry has, else JSON.
///
/// The parameter is what the Avro codec needs. To write, that is the registry's id of this project's
/// schema, the default. To read, it is the plan that was compiled from the writer's schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueFormat<A = u32> {
    /// JSON. A JSON Schema of the value is not needed.
    Json,
    /// Avro in its binary encoding.
    Avro(A),
}

impl<A> ValueFormat<A> {
    /// Borrows the parameter of Avro.
    #[inline(always)]
    pub const fn as_ref(&self) -> ValueFormat<&A> {
        match self {
            Self::Json => ValueFormat::Json,
            Self::Avro(avro) => ValueFormat::Avro(avro),
        }
    }
}
