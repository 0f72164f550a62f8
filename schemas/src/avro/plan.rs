//! Compiling a writer's schema, once, into what the reader needs: a flat list of nodes.

mod compiler;

use serde_json::Value;

use crate::malformed::{Malformed, Reason};
use compiler::Compiler;

/// The longest schema in bytes, with all that it refers to. Schemas of thousands of fields are below
/// it.
const MAX_TEXT: usize = 1 << 20;

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
    /// Bytes that no logical type says more about.
    Bytes,
    /// The same of a fixed.
    Fixed,
    /// Nothing that a known field may hold; the text names it, with its article.
    Other(&'static str),
}

impl<const N: usize> Plan<N> {
    /// Compiles a schema's text; slots are numbered as `names` are.
    ///
    /// `references` are the texts of the named types that it refers to, each after those that it
    /// refers to itself.
    pub(crate) fn compile(
        text: &str,
        references: &[String],
        names: &[&'static str; N],
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
        let mut taken = [false; N];
        let fields = compiler.fields_of(record).map(|(name, node)| {
            let slot = names.iter().position(|known| *known == name);
            if let Some(slot) = slot
                && std::mem::replace(&mut taken[slot], true)
            {
                return Err(unsupported(format!("it has two fields {name}")));
            }
            Ok(PlannedField {
                name: name.into(),
                node,
                known: slot.map(|slot| known(&compiler.nodes, node, slot)),
            })
        });
        Ok(Self {
            root,
            fields: fields.collect::<Result<_, _>>()?,
            nodes: compiler.nodes,
        })
    }
}

fn known(nodes: &[Node], id: NodeId, slot: usize) -> KnownField {
    let (is_union, branches) = match &nodes[id].shape {
        // A union within it is none that a known field may hold.
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
    // This refuses brackets that nest deeper than 128, so the compiler may recurse.
    serde_json::from_str(text).map_err(unsupported)
}

/// The one record at the top, alone or as a branch of a union (a null or other types beside it).
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
