//! Compiles a writer's schema, once, into what the reader needs: a flat list of nodes.

mod compiler;

use serde_json::Value;

use crate::malformed::{Malformed, Reason};
use compiler::Compiler;

/// The maximum number of bytes of a schema and its references together. Even schemas with thousands of
/// fields are smaller.
const MAX_TEXT: usize = 1 << 20;

/// How to read records that were written with one schema: which bytes are which known field, and how
/// to skip all others.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(super) nodes: Vec<Node>,
    pub(super) root: Root,
    /// The record's fields in the order of the bytes.
    pub(super) fields: Box<[PlannedField]>,
}

/// The schema's top level.
#[derive(Debug, Clone, Copy)]
pub(super) enum Root {
    Record,
    /// A union with the record as one of its branches.
    Union {
        branches: usize,
        record: usize,
    },
}

#[derive(Debug, Clone)]
pub(super) struct PlannedField {
    pub(super) name: Box<str>,
    pub(super) node: NodeId,
    /// How it is read, if it is a known field.
    pub(super) known: Option<KnownField>,
}

/// A field whose content is read.
#[derive(Debug, Clone)]
pub(super) struct KnownField {
    /// Its index among the known fields.
    pub(super) index: usize,
    /// Whether the bytes start with the branch of a union.
    pub(super) is_union: bool,
    /// What it holds; for a union, by branch.
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
    /// A decimal in length-prefixed bytes.
    Decimal {
        scale: u32,
    },
    FixedDecimal {
        size: usize,
        scale: u32,
    },
    /// Skipped. The text is the type's name with its article.
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

/// How a type's bytes are delimited, which is all that is needed to skip them.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    Null,
    Boolean,
    Int,
    Long,
    /// This many bytes: fixed, float and double.
    Fixed(usize),
    /// Length-prefixed bytes: bytes and string.
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
    /// Bytes without a known logical type.
    Bytes,
    /// A fixed without a known logical type.
    Fixed,
    /// A type that no known field may have. The text is its name with its article.
    Other(&'static str),
}

impl Plan {
    /// Compiles a schema's text. `names` are the known fields.
    ///
    /// `references` are the texts of the named types that it refers to, in the order of their
    /// dependencies: a text comes after the texts that it refers to.
    pub(crate) fn compile(
        text: &str,
        references: &[String],
        names: &[&str],
    ) -> Result<Self, Malformed> {
        let length: usize = references.iter().map(String::len).sum();
        if text.len() + length > MAX_TEXT {
            return Err(unsupported("it is longer than 1 MiB"));
        }
        let mut compiler = Compiler::default();
        for reference in references {
            compiler.schema(&parse(reference)?)?;
        }
        let top = compiler.schema(&parse(text)?)?;
        let (root, record) = root_of(&compiler.nodes, top)?;
        let mut taken = vec![false; names.len()];
        let fields = compiler.fields_of(record).map(|(name, node)| {
            let index = names.iter().position(|known| *known == name);
            if let Some(index) = index
                && std::mem::replace(&mut taken[index], true)
            {
                return Err(unsupported(format!("it has two fields {name}")));
            }
            Ok(PlannedField {
                name: name.into(),
                node,
                known: index.map(|index| known(&compiler.nodes, node, index)),
            })
        });
        Ok(Self {
            root,
            fields: fields.collect::<Result<_, _>>()?,
            nodes: compiler.nodes,
        })
    }
}

fn known(nodes: &[Node], id: NodeId, index: usize) -> KnownField {
    let (is_union, branches) = match &nodes[id].shape {
        // A union within the union is a type that no known field may have.
        Shape::Union(branches) => (true, &branches[..]),
        _ => (false, std::slice::from_ref(&id)),
    };
    KnownField {
        index,
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
        (Meaning::Bytes, _) => Content::Other(id, "bytes"),
        (Meaning::Fixed, _) => Content::Other(id, "a fixed"),
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

fn parse(text: &str) -> Result<Value, Malformed> {
    // The parser refuses brackets that nest deeper than 128 levels, so the compiler may recurse.
    serde_json::from_str(text).map_err(unsupported)
}

/// Returns the one record at the top: alone, or as a branch of a union beside null or other types.
fn root_of(nodes: &[Node], top: NodeId) -> Result<(Root, NodeId), Malformed> {
    let branches = match &nodes[top].shape {
        Shape::Record(_) => return Ok((Root::Record, top)),
        Shape::Union(branches) => &branches[..],
        _ => &[],
    };
    let is_record = |branch: &NodeId| matches!(nodes[*branch].shape, Shape::Record(_));
    let mut records = (0..branches.len()).filter(|at| is_record(&branches[*at]));
    match (records.next(), records.next()) {
        (Some(record), None) => {
            let root = Root::Union {
                branches: branches.len(),
                record,
            };
            Ok((root, branches[record]))
        }
        _ => Err(unsupported(
            "its top level is neither a record nor a union with one record",
        )),
    }
}

#[cfg(test)]
mod tests;
