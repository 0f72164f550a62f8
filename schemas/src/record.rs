//! A type of record: which fields it has, and how they are read and written in both formats.

mod write;

use std::borrow::Cow;
use std::marker::PhantomData;

use crate::avro;
use crate::format::ValueFormat;
use crate::json;
use crate::malformed::Malformed;
use crate::raw_field::RawField;

pub(crate) use write::write;

/// A type of record that is read from a topic.
pub trait RecordType {
    /// The names of the fields that are read, in the order in which they are checked.
    const FIELDS: &'static [&'static str];
}

/// How to read records of type `R` that were written with one Avro schema.
#[derive(Debug, Clone)]
pub struct Plan<R> {
    avro: avro::Plan,
    record: PhantomData<fn() -> R>,
}

impl<R: RecordType> Plan<R> {
    /// Compiles the writer's schema, which refers to no other.
    ///
    /// # Errors
    /// As [`compile_with`](Self::compile_with).
    pub fn compile(schema: &str) -> Result<Self, Malformed> {
        Self::compile_with(schema, &[])
    }

    /// Compiles the writer's schema and the schemas that it refers to. `references` are their texts, in the
    /// order of their dependencies: a text comes after the texts that it refers to.
    ///
    /// Fields are found by name. Those that are not known are skipped, those that are missing count
    /// as absent.
    ///
    /// # Errors
    /// [`Reason::UnsupportedSchema`](crate::Reason::UnsupportedSchema) if this is no Avro schema of a
    /// record, or if all texts together are beyond the limits.
    pub fn compile_with(schema: &str, references: &[String]) -> Result<Self, Malformed> {
        Ok(Self {
            avro: avro::Plan::compile(schema, references, R::FIELDS)?,
            record: PhantomData,
        })
    }

    /// Returns whether the writer's record has a field of this name, known or not.
    pub(crate) fn has_field(&self, name: &str) -> bool {
        self.avro.has_field(name)
    }
}

/// Finds the fields of a value and returns what `interpret` makes of them. They have the order of
/// `names`, which are the fields of `R`.
///
/// The second argument of `interpret` makes a text of a field live as long as `bytes`. It returns the
/// text itself, or a copy of it if JSON escapes had to be resolved.
#[inline(always)]
pub(crate) fn read<'a, R, T, const N: usize>(
    bytes: &'a [u8],
    format: ValueFormat<&'a Plan<R>>,
    names: &json::Names<N>,
    interpret: impl for<'v> FnOnce(
        &[RawField<'v>; N],
        fn(&'v str) -> Cow<'a, str>,
    ) -> Result<T, Malformed>,
) -> Result<T, Malformed> {
    match format {
        ValueFormat::Json => {
            let mut found = json::Found::none();
            json::read(bytes, names, &mut found)?;
            if found.has_escapes() {
                let texts = found.unescaped();
                return interpret(&found.with(&texts), |text| text.to_owned().into());
            }
            interpret(&found.fields, Cow::Borrowed)
        }
        ValueFormat::Avro(plan) => {
            let mut fields = [RawField::Absent; N];
            plan.avro.read(bytes, &mut fields)?;
            interpret(&fields, Cow::Borrowed)
        }
    }
}
