//! Compiles a schema's JSON into nodes.
//!
//! Only the parts of a schema that determine a writer's bytes are read. A name may be any text: Java
//! and registries accept namespaces with hyphens, the `$` of nested classes, and letters beyond ASCII.
//! Defaults, aliases and documentation are not read, so a fault in them does no harm: registries have
//! old schemas that were never checked.
//!
//! Source: Avro 1.12 specification, "Schema Declaration", "Names", "Logical Types".

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::{Meaning, Node, NodeId, Shape, unsupported};
use crate::malformed::Malformed;

type Object = Map<String, Value>;

const PRIMITIVES: [&str; 8] = [
    "null", "boolean", "int", "long", "float", "double", "bytes", "string",
];

/// The nodes that have been compiled from one text or several.
#[derive(Default)]
pub(super) struct Compiler {
    pub(super) nodes: Vec<Node>,
    /// Named types by their full names.
    named: HashMap<String, NodeId>,
    /// The names of each record's fields.
    field_names: HashMap<NodeId, Vec<Box<str>>>,
}

impl Compiler {
    /// Compiles one text. It may refer to types that earlier texts have defined.
    pub(super) fn schema(&mut self, json: &Value) -> Result<NodeId, Malformed> {
        self.node(json, "")
    }

    /// Returns the names and types of a record's fields, in the order of the bytes.
    pub(super) fn fields_of(&self, record: NodeId) -> impl Iterator<Item = (&str, NodeId)> {
        let names = self.field_names.get(&record).into_iter().flatten();
        let types = match &self.nodes[record].shape {
            Shape::Record(types) => &types[..],
            _ => &[],
        };
        names.map(|name| &**name).zip(types.iter().copied())
    }

    /// Returns the node of a type. A type that refers to itself ends at the reference.
    fn node(&mut self, json: &Value, namespace: &str) -> Result<NodeId, Malformed> {
        match json {
            Value::String(name) => self.named_or_primitive(name, namespace),
            Value::Array(branches) => self.union(branches, namespace),
            Value::Object(object) => self.object(object, namespace),
            _ => Err(unsupported(
                "a type is neither a name, an object nor a list",
            )),
        }
    }

    fn object(&mut self, object: &Object, namespace: &str) -> Result<NodeId, Malformed> {
        let known = self.nodes.len();
        let id = match member(object, "type")? {
            Value::String(kind) => match kind.as_str() {
                "record" => self.record(object, namespace)?,
                "enum" => self.enumeration(object, namespace)?,
                "fixed" => self.fixed(object, namespace)?,
                "array" => {
                    let items = self.node(member(object, "items")?, namespace)?;
                    self.add(Shape::Array(items), Meaning::Other("an array"))
                }
                "map" => {
                    let values = self.node(member(object, "values")?, namespace)?;
                    self.add(Shape::Map(values), Meaning::Other("a map"))
                }
                name => self.named_or_primitive(name, namespace)?,
            },
            inner => self.node(inner, namespace)?,
        };
        // A node that was there before belongs to the definition of a named type.
        if id >= known
            && let Some(meaning) = logical_type(object, &self.nodes[id])?
        {
            self.nodes[id].meaning = meaning;
        }
        Ok(id)
    }

    fn named_or_primitive(&mut self, name: &str, namespace: &str) -> Result<NodeId, Malformed> {
        let (shape, meaning) = match name {
            "null" => (Shape::Null, Meaning::Null),
            "boolean" => (Shape::Boolean, Meaning::Other("a boolean")),
            "int" => (Shape::Int, Meaning::Integer),
            "long" => (Shape::Long, Meaning::Integer),
            "float" => (Shape::Fixed(4), Meaning::Other("a float")),
            "double" => (Shape::Fixed(8), Meaning::Other("a double")),
            "bytes" => (Shape::Bytes, Meaning::Bytes),
            "string" => (Shape::Bytes, Meaning::Text),
            name => return self.find(name, namespace),
        };
        Ok(self.add(shape, meaning))
    }

    fn union(&mut self, branches: &[Value], namespace: &str) -> Result<NodeId, Malformed> {
        let mut nodes = Vec::with_capacity(branches.len());
        let (mut kinds, mut named) = (HashSet::new(), HashSet::new());
        for branch in branches {
            let node = self.node(branch, namespace)?;
            let is_new = match kind_of(branch) {
                "a union" => return Err(unsupported("a union is directly within a union")),
                kind if is_unnamed(kind) => kinds.insert(kind),
                _ => named.insert(node),
            };
            if !is_new {
                return Err(unsupported("a union has the same type twice"));
            }
            nodes.push(node);
        }
        Ok(self.add(Shape::Union(nodes.into()), Meaning::Branch))
    }

    fn record(&mut self, object: &Object, namespace: &str) -> Result<NodeId, Malformed> {
        let name = full_name_of(object, namespace)?;
        let namespace = name
            .rsplit_once('.')
            .map_or("", |(space, _)| space)
            .to_owned();
        // Defined before its fields are compiled, because they may refer to it.
        let id = self.define(name, Shape::Record([].into()), Meaning::Other("a record"))?;
        let (mut names, mut types) = (Vec::new(), Vec::new());
        for field in list(object, "fields")? {
            let Value::Object(field) = field else {
                return Err(unsupported("a field is no object"));
            };
            names.push(text(field, "name")?.into());
            types.push(self.node(member(field, "type")?, &namespace)?);
        }
        self.nodes[id].shape = Shape::Record(types.into());
        self.field_names.insert(id, names);
        Ok(id)
    }

    fn enumeration(&mut self, object: &Object, namespace: &str) -> Result<NodeId, Malformed> {
        let name = full_name_of(object, namespace)?;
        let symbols = list(object, "symbols")?.iter().map(|symbol| match symbol {
            Value::String(symbol) => Ok(symbol.as_str().into()),
            _ => Err(unsupported("a symbol is no text")),
        });
        let symbols: Box<[Box<str>]> = symbols.collect::<Result<_, _>>()?;
        self.define(name, Shape::Enum(symbols.len()), Meaning::Symbol(symbols))
    }

    fn fixed(&mut self, object: &Object, namespace: &str) -> Result<NodeId, Malformed> {
        let name = full_name_of(object, namespace)?;
        let size = member(object, "size")?.as_u64();
        let size = size.and_then(|size| usize::try_from(size).ok());
        let size = size.ok_or_else(|| unsupported("the size of a fixed is no length"))?;
        self.define(name, Shape::Fixed(size), Meaning::Fixed)
    }

    fn define(
        &mut self,
        name: String,
        shape: Shape,
        meaning: Meaning,
    ) -> Result<NodeId, Malformed> {
        if self.named.contains_key(&name) {
            return Err(unsupported(format!("{name} is defined twice")));
        }
        let id = self.add(shape, meaning);
        self.named.insert(name, id);
        Ok(id)
    }

    /// Finds a name without a namespace in the enclosing namespace first and then, as Java does, without
    /// any namespace.
    fn find(&self, name: &str, namespace: &str) -> Result<NodeId, Malformed> {
        let found = self.named.get(&full_name(name, namespace));
        let found = found.or_else(|| self.named.get(&full_name(name, "")));
        found
            .copied()
            .ok_or_else(|| unsupported(format!("{name} is used and not defined")))
    }

    fn add(&mut self, shape: Shape, meaning: Meaning) -> NodeId {
        self.nodes.push(Node { shape, meaning });
        self.nodes.len() - 1
    }
}

/// Returns the name of a primitive type, a word such as `record` or `array`, or a named type's name.
fn kind_of(json: &Value) -> &str {
    match json {
        Value::String(name) => name,
        Value::Object(object) => object.get("type").map_or("", kind_of),
        _ => "a union",
    }
}

fn is_unnamed(kind: &str) -> bool {
    PRIMITIVES.contains(&kind) || matches!(kind, "array" | "map")
}

/// Returns the full name of the type that an object defines.
fn full_name_of(object: &Object, enclosing: &str) -> Result<String, Malformed> {
    let namespace = object.get("namespace").and_then(Value::as_str);
    Ok(full_name(
        text(object, "name")?,
        namespace.unwrap_or(enclosing),
    ))
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() {
        // A leading dot means no namespace.
        name.strip_prefix('.').unwrap_or(name).to_owned()
    } else {
        format!("{namespace}.{name}")
    }
}

/// Returns the meaning that a logical type gives to its underlying type. By the specification, one that
/// is unknown or does not fit is ignored.
fn logical_type(object: &Object, node: &Node) -> Result<Option<Meaning>, Malformed> {
    let Some(name) = object.get("logicalType").and_then(Value::as_str) else {
        return Ok(None);
    };
    Ok(Some(match (name, &node.shape, &node.meaning) {
        ("decimal", _, Meaning::Bytes | Meaning::Fixed) => return decimal(object),
        ("big-decimal", _, Meaning::Bytes) => Meaning::Other("a big-decimal"),
        ("uuid", _, Meaning::Bytes) | ("uuid", Shape::Fixed(16), Meaning::Fixed) => {
            Meaning::Other("a binary UUID")
        }
        ("duration", Shape::Fixed(12), Meaning::Fixed) => Meaning::Other("a duration"),
        ("date", Shape::Int, Meaning::Integer) => Meaning::Other("a date"),
        ("time-millis", Shape::Int, Meaning::Integer)
        | ("time-micros", Shape::Long, Meaning::Integer) => Meaning::Other("a time of day"),
        ("timestamp-millis", Shape::Long, Meaning::Integer) => Meaning::TimestampMillis,
        ("timestamp-micros", Shape::Long, Meaning::Integer) => Meaning::TimestampMicros,
        ("timestamp-nanos", Shape::Long, Meaning::Integer) => {
            Meaning::Other("a timestamp in nanoseconds")
        }
        (
            "local-timestamp-millis" | "local-timestamp-micros" | "local-timestamp-nanos",
            Shape::Long,
            Meaning::Integer,
        ) => Meaning::Other("a local timestamp"),
        _ => return Ok(None),
    }))
}

fn decimal(object: &Object) -> Result<Option<Meaning>, Malformed> {
    let precision = object.get("precision").and_then(Value::as_u64);
    let scale = match object.get("scale") {
        None => Some(0),
        Some(scale) => scale.as_u64(),
    };
    match (precision, scale) {
        (Some(precision @ 1..), Some(scale)) if scale <= precision => u32::try_from(scale)
            .map(|scale| Some(Meaning::Decimal { scale }))
            .map_err(|_| unsupported("the scale of a decimal is beyond 32 bits")),
        _ => Ok(None),
    }
}

fn member<'a>(object: &'a Object, name: &str) -> Result<&'a Value, Malformed> {
    let found = object.get(name);
    found.ok_or_else(|| unsupported(format!("an object has no {name}")))
}

fn text<'a>(object: &'a Object, name: &str) -> Result<&'a str, Malformed> {
    match member(object, name)?.as_str() {
        Some(text) if !text.contains(char::is_control) => Ok(text),
        Some(_) => Err(unsupported(format!("a {name} has control characters"))),
        None => Err(unsupported(format!("a {name} is no text"))),
    }
}

fn list<'a>(object: &'a Object, name: &str) -> Result<&'a [Value], Malformed> {
    match member(object, name)? {
        Value::Array(items) => Ok(items),
        _ => Err(unsupported(format!("{name} is no list"))),
    }
}
