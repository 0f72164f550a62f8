//! Compiling a writer's schema, once, into what the reader needs: a flat list of nodes.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::schema::{FixedSchema, InnerDecimalSchema, Name, RecordSchema, UuidSchema};
use serde_json::Value;

use crate::malformed::{Malformed, Reason};

/// The longest schema text in bytes. Schemas of thousands of fields are below it.
const LONGEST_TEXT: usize = 1 << 20;

/// How deep the brackets of a schema text may nest, about 20 records: the parser is recursive.
const DEEPEST_TEXT: usize = 64;

/// How to read records that were written with one schema: which bytes are which of `N` known fields,
/// and how to get past all others.
#[derive(Debug, Clone)]
pub(crate) struct Plan<const N: usize> {
    pub(super) nodes: Vec<Node>,
    pub(super) root: Root,
    /// The record's fields in the order of the bytes.
    pub(super) fields: Box<[PlannedField]>,
}

/// What the schema's top level is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Root {
    Record,
    /// A union, one of whose branches is the record.
    Union {
        branches: usize,
        record: usize,
    },
}

#[derive(Debug, Clone)]
pub(super) struct PlannedField {
    pub(super) name: Box<str>,
    pub(super) node: NodeId,
    /// How it is read, if it is asked for.
    pub(super) known: Option<KnownField>,
}

/// A field whose content is asked for.
#[derive(Debug, Clone)]
pub(super) struct KnownField {
    /// Where its content goes.
    pub(super) slot: usize,
    /// Of a union, its branch comes first.
    pub(super) is_union: bool,
    /// What it holds: of a union, by branch.
    pub(super) contents: Box<[Content]>,
}

/// How a known field's bytes become its content: a node's shape and meaning in one.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Null,
    Int,
    Long,
    TimestampMillis,
    TimestampMicros,
    Text,
    Symbol(Box<[Box<str>]>),
    /// A length and as many bytes.
    Decimal {
        scale: u32,
    },
    FixedDecimal {
        size: usize,
        scale: u32,
    },
    /// Passed; the text names it.
    Other(NodeId, &'static str),
}

/// An index into [`Plan::nodes`]. Recursive schemas make cycles.
pub(super) type NodeId = usize;

/// One type of the schema.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) shape: Shape,
    pub(super) meaning: Meaning,
}

/// How a type's bytes are delimited: all that it takes to skip it.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    Null,
    Boolean,
    Int,
    Long,
    /// This many bytes: fixed, float and double.
    Fixed(usize),
    /// A length and as many bytes: bytes and string.
    Bytes,
    /// An index below this number of symbols.
    Enum(usize),
    Array(NodeId),
    Map(NodeId),
    Union(Box<[NodeId]>),
    Record(Box<[NodeId]>),
}

/// What a known field of the type holds.
#[derive(Debug, Clone)]
pub(super) enum Meaning {
    Null,
    Integer,
    Text,
    Symbol(Box<[Box<str>]>),
    Decimal {
        scale: u32,
    },
    TimestampMillis,
    TimestampMicros,
    /// What the branch holds.
    Branch,
    /// Nothing that a known field may hold; the text names it, with its article.
    Other(&'static str),
}

impl<const N: usize> Plan<N> {
    /// Compiles a schema's text; slots are numbered as `names` are.
    pub(crate) fn compile(text: &str, names: &[&'static str; N]) -> Result<Self, Malformed> {
        let schema = parse(text)?;
        let (root, record) = root_of(&schema)?;
        let mut compiler = Compiler::default();
        // All of it: a branch before the record may define what the record refers to.
        compiler.node(&schema)?;
        let id = compiler.find(&record.name)?;
        let Shape::Record(children) = compiler.nodes[id].shape.clone() else {
            return Err(unsupported("its record's name is another type's"));
        };
        let fields = record
            .fields
            .iter()
            .zip(children)
            .map(|(field, node)| PlannedField {
                name: field.name.as_str().into(),
                node,
                known: names
                    .iter()
                    .position(|name| *name == field.name)
                    .map(|slot| known(&compiler.nodes, node, slot)),
            });
        Ok(Self {
            root,
            fields: fields.collect(),
            nodes: compiler.nodes,
        })
    }
}

fn known(nodes: &[Node], id: NodeId, slot: usize) -> KnownField {
    let (is_union, branches) = match &nodes[id].shape {
        // Of no unions, as the specification has it and the parser.
        Shape::Union(branches) => (true, &branches[..]),
        _ => (false, std::slice::from_ref(&id)),
    };
    KnownField {
        slot,
        is_union,
        contents: branches
            .iter()
            .map(|branch| content(nodes, *branch))
            .collect(),
    }
}

fn content(nodes: &[Node], id: NodeId) -> Content {
    let Node { shape, meaning } = &nodes[id];
    match (meaning, shape) {
        (Meaning::Null, _) => Content::Null,
        (Meaning::Integer, Shape::Int) => Content::Int,
        (Meaning::Integer, _) => Content::Long,
        (Meaning::TimestampMillis, _) => Content::TimestampMillis,
        (Meaning::TimestampMicros, _) => Content::TimestampMicros,
        (Meaning::Text, _) => Content::Text,
        (Meaning::Symbol(symbols), _) => Content::Symbol(symbols.clone()),
        (Meaning::Decimal { scale }, Shape::Fixed(size)) => Content::FixedDecimal {
            size: *size,
            scale: *scale,
        },
        (Meaning::Decimal { scale }, _) => Content::Decimal { scale: *scale },
        (Meaning::Other(kind), _) => Content::Other(id, kind),
        (Meaning::Branch, _) => Content::Other(id, "a union"),
    }
}

fn unsupported(why: impl std::fmt::Display) -> Malformed {
    Malformed::new(
        Reason::UnsupportedSchema,
        format!("the writer's Avro schema: {why}"),
    )
}

fn parse(text: &str) -> Result<Schema, Malformed> {
    if text.len() > LONGEST_TEXT {
        return Err(unsupported("it is longer than 1 MiB"));
    }
    // The parser of JSON has its own limit of nesting, 128.
    let mut json: Value = serde_json::from_str(text).map_err(unsupported)?;
    if !keep_types_only(&mut json, DEEPEST_TEXT) {
        return Err(unsupported("it nests deeper than 64 brackets"));
    }
    Schema::parse(&json).map_err(unsupported)
}

/// Removes what says nothing about a writer's bytes, so that a fault there does no harm: registries
/// hold schemas from times when nobody checked a default. False if it nests too deep.
fn keep_types_only(json: &mut Value, depth: usize) -> bool {
    match json {
        Value::Object(members) => {
            for name in ["default", "aliases", "doc"] {
                members.remove(name);
            }
            depth > 0
                && members
                    .values_mut()
                    .all(|value| keep_types_only(value, depth - 1))
        }
        Value::Array(items) => {
            depth > 0
                && items
                    .iter_mut()
                    .all(|item| keep_types_only(item, depth - 1))
        }
        _ => true,
    }
}

/// The one record at the top, alone or as a branch of a union (a null or other types beside it).
fn root_of(schema: &Schema) -> Result<(Root, &RecordSchema), Malformed> {
    let branches = match schema {
        Schema::Record(record) => return Ok((Root::Record, record)),
        Schema::Union(union) => union.variants(),
        _ => &[],
    };
    let mut records = branches
        .iter()
        .enumerate()
        .filter_map(|(at, branch)| match branch {
            Schema::Record(record) => Some((at, record)),
            _ => None,
        });
    match (records.next(), records.next()) {
        (Some((at, record)), None) => Ok((
            Root::Union {
                branches: branches.len(),
                record: at,
            },
            record,
        )),
        _ => Err(unsupported(
            "its top level is neither a record nor a union with one record",
        )),
    }
}

#[derive(Default)]
struct Compiler<'s> {
    nodes: Vec<Node>,
    named: HashMap<&'s Name, NodeId>,
}

impl<'s> Compiler<'s> {
    /// The node of a type. Types that refer to themselves end at the reference.
    fn node(&mut self, schema: &'s Schema) -> Result<NodeId, Malformed> {
        let (shape, meaning) = match schema {
            Schema::Ref { name } => return self.find(name),
            Schema::Record(record) => return self.record(record),
            Schema::Enum(symbols) => {
                let names = symbols
                    .symbols
                    .iter()
                    .map(|symbol| symbol.as_str().into())
                    .collect();
                let shape = Shape::Enum(symbols.symbols.len());
                return self.define(&symbols.name, shape, Meaning::Symbol(names));
            }
            Schema::Fixed(fixed) => return self.fixed(fixed, Meaning::Other("a fixed")),
            Schema::Duration(fixed) => return self.fixed(fixed, Meaning::Other("a duration")),
            Schema::Uuid(UuidSchema::Fixed(fixed)) => {
                return self.fixed(fixed, Meaning::Other("a binary UUID"));
            }
            Schema::Decimal(decimal) => {
                let scale = u32::try_from(decimal.scale)
                    .map_err(|_| unsupported("the scale of a decimal is beyond 32 bits"))?;
                match &decimal.inner {
                    InnerDecimalSchema::Bytes => (Shape::Bytes, Meaning::Decimal { scale }),
                    InnerDecimalSchema::Fixed(fixed) => {
                        return self.fixed(fixed, Meaning::Decimal { scale });
                    }
                }
            }
            Schema::Array(array) => (
                Shape::Array(self.node(&array.items)?),
                Meaning::Other("an array"),
            ),
            Schema::Map(map) => (Shape::Map(self.node(&map.types)?), Meaning::Other("a map")),
            Schema::Union(union) => {
                let branches = union.variants().iter().map(|branch| self.node(branch));
                (
                    Shape::Union(branches.collect::<Result<_, _>>()?),
                    Meaning::Branch,
                )
            }
            Schema::Null => (Shape::Null, Meaning::Null),
            Schema::Boolean => (Shape::Boolean, Meaning::Other("a boolean")),
            Schema::Int => (Shape::Int, Meaning::Integer),
            Schema::Long => (Shape::Long, Meaning::Integer),
            Schema::Float => (Shape::Fixed(4), Meaning::Other("a float")),
            Schema::Double => (Shape::Fixed(8), Meaning::Other("a double")),
            Schema::Bytes => (Shape::Bytes, Meaning::Other("bytes")),
            Schema::String | Schema::Uuid(UuidSchema::String) => (Shape::Bytes, Meaning::Text),
            Schema::Uuid(UuidSchema::Bytes) => (Shape::Bytes, Meaning::Other("a binary UUID")),
            Schema::BigDecimal => (Shape::Bytes, Meaning::Other("a big-decimal")),
            Schema::Date => (Shape::Int, Meaning::Other("a date")),
            Schema::TimeMillis => (Shape::Int, Meaning::Other("a time of day")),
            Schema::TimeMicros => (Shape::Long, Meaning::Other("a time of day")),
            Schema::TimestampMillis => (Shape::Long, Meaning::TimestampMillis),
            Schema::TimestampMicros => (Shape::Long, Meaning::TimestampMicros),
            Schema::TimestampNanos => (Shape::Long, Meaning::Other("a timestamp in nanoseconds")),
            Schema::LocalTimestampMillis
            | Schema::LocalTimestampMicros
            | Schema::LocalTimestampNanos => (Shape::Long, Meaning::Other("a local timestamp")),
        };
        Ok(self.add(shape, meaning))
    }

    fn record(&mut self, record: &'s RecordSchema) -> Result<NodeId, Malformed> {
        // Named before its fields, which may refer to it.
        let id = self.define(
            &record.name,
            Shape::Record([].into()),
            Meaning::Other("a record"),
        )?;
        let fields = record.fields.iter().map(|field| self.node(&field.schema));
        self.nodes[id].shape = Shape::Record(fields.collect::<Result<_, _>>()?);
        Ok(id)
    }

    fn fixed(&mut self, fixed: &'s FixedSchema, meaning: Meaning) -> Result<NodeId, Malformed> {
        self.define(&fixed.name, Shape::Fixed(fixed.size), meaning)
    }

    fn define(
        &mut self,
        name: &'s Name,
        shape: Shape,
        meaning: Meaning,
    ) -> Result<NodeId, Malformed> {
        let id = self.add(shape, meaning);
        match self.named.insert(name, id) {
            None => Ok(id),
            Some(_) => Err(unsupported(format!("{name} is defined twice"))),
        }
    }

    fn find(&self, name: &Name) -> Result<NodeId, Malformed> {
        let id = self.named.get(name).copied();
        id.ok_or_else(|| unsupported(format!("{name} is used and not defined")))
    }

    fn add(&mut self, shape: Shape, meaning: Meaning) -> NodeId {
        self.nodes.push(Node { shape, meaning });
        self.nodes.len() - 1
    }
}

#[cfg(test)]
mod tests;
