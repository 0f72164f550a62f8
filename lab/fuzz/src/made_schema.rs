//! Builds Avro schemas and bodies from an input's choices.

use std::cell::Cell;
use std::collections::HashSet;

use crate::script::Script;

/// The maximum number of levels of types. Below them only leaves are chosen.
const MAX_DEPTH: usize = 8;

/// The maximum number of types of a schema. More would find nothing new.
const MAX_TYPES: usize = 64;

/// The maximum number of bytes of a body. More would find nothing new.
const MAX_BODY: usize = 1024;

/// The maximum number of values that are written. A record that holds itself twice has 2^80 of them.
const MAX_VALUES: usize = 2000;

/// The fields that are read, and some that are not.
const FIELDS: [&str; 12] = [
    "order_id",
    "status",
    "total",
    "currency",
    "sent_at",
    "occurred_at",
    "version",
    "id",
    "note",
    "items",
    "Total",
    "_x",
];

/// Types without parts: their JSON, their kind within a union, and how their values are written.
const LEAVES: [(&str, &str, Leaf); 19] = [
    (r#""null""#, "null", Leaf::Nothing),
    (r#""string""#, "string", Leaf::Text),
    (r#""long""#, "long", Leaf::Long),
    (r#""int""#, "int", Leaf::Int),
    (
        r#"{"type":"bytes","logicalType":"decimal","precision":40,"scale":2}"#,
        "bytes",
        Leaf::Number,
    ),
    (
        r#"{"type":"bytes","logicalType":"decimal","precision":60,"scale":33}"#,
        "bytes",
        Leaf::Number,
    ),
    (
        r#"{"type":"long","logicalType":"timestamp-millis"}"#,
        "long",
        Leaf::Long,
    ),
    (
        r#"{"type":"long","logicalType":"timestamp-micros"}"#,
        "long",
        Leaf::Long,
    ),
    (r#""boolean""#, "boolean", Leaf::Boolean),
    (r#""bytes""#, "bytes", Leaf::Number),
    (r#""float""#, "float", Leaf::Fixed(4)),
    (r#""double""#, "double", Leaf::Fixed(8)),
    (r#"{"type":"int","logicalType":"date"}"#, "int", Leaf::Int),
    (
        r#"{"type":"int","logicalType":"time-millis"}"#,
        "int",
        Leaf::Int,
    ),
    (
        r#"{"type":"long","logicalType":"time-micros"}"#,
        "long",
        Leaf::Long,
    ),
    (
        r#"{"type":"long","logicalType":"timestamp-nanos"}"#,
        "long",
        Leaf::Long,
    ),
    (
        r#"{"type":"long","logicalType":"local-timestamp-millis"}"#,
        "long",
        Leaf::Long,
    ),
    (
        r#"{"type":"string","logicalType":"nobody-knows"}"#,
        "string",
        Leaf::Text,
    ),
    (
        r#"{"type":"bytes","logicalType":"decimal","precision":1,"scale":7}"#,
        "bytes",
        Leaf::Number,
    ),
];

#[derive(Debug, Clone, Copy)]
enum Leaf {
    Nothing,
    Boolean,
    Int,
    Long,
    Text,
    Number,
    Fixed(usize),
}

#[derive(Debug, Clone)]
enum Type {
    Leaf(usize),
    /// An enum of this many of [`SYMBOLS`].
    Enum(usize),
    Fixed(usize),
    /// A fixed type of this many bytes, which is a decimal of scale 2.
    FixedDecimal(usize),
    Array(usize),
    Map(usize),
    Union(Vec<usize>),
    Record(Vec<(&'static str, usize)>),
}

const SYMBOLS: [&str; 5] = ["SENT", "pending", "DELIVERED", "EUR", "LOST"];

/// A schema whose types are numbered. Named types may be used again, also within themselves.
pub(crate) struct MadeSchema {
    types: Vec<Type>,
    named: Vec<usize>,
    root: usize,
    /// How many more values may be written.
    values_left: Cell<usize>,
}

impl MadeSchema {
    /// Builds one from the choices of `script`.
    pub(crate) fn of(script: &mut Script<'_>) -> Self {
        let mut made = Self {
            types: Vec::new(),
            named: Vec::new(),
            root: 0,
            values_left: Cell::new(MAX_VALUES),
        };
        let in_union = script.below(8) == 7;
        let fields = 1 + script.below(9);
        let record = made.record(script, 0, fields);
        made.root = match in_union {
            true => {
                let null = made.add(Type::Leaf(0));
                made.add(Type::Union(vec![null, record]))
            }
            false => record,
        };
        made
    }

    fn add(&mut self, one: Type) -> usize {
        self.types.push(one);
        self.types.len() - 1
    }

    fn add_named(&mut self, one: Type) -> usize {
        let id = self.add(one);
        self.named.push(id);
        id
    }

    fn record(&mut self, script: &mut Script<'_>, depth: usize, fields: usize) -> usize {
        // Named before its fields, which may refer to it.
        let id = self.add_named(Type::Record(Vec::new()));
        let mut made: Vec<(&'static str, usize)> = Vec::new();
        for _ in 0..fields {
            let name = script.choose(&FIELDS);
            if made.iter().all(|(other, _)| *other != name) {
                made.push((name, self.any(script, depth + 1)));
            }
        }
        self.types[id] = Type::Record(made);
        id
    }

    fn any(&mut self, script: &mut Script<'_>, depth: usize) -> usize {
        let choice = script.below(16);
        if depth > MAX_DEPTH || self.types.len() > MAX_TYPES || choice < 6 {
            let leaf = script.below(LEAVES.len());
            return self.add(Type::Leaf(leaf));
        }
        match choice {
            6 => self.add_named(Type::Enum(1 + script.below(SYMBOLS.len()))),
            7 => self.add_named(Type::Fixed(script.below(20))),
            8 => self.add_named(Type::FixedDecimal(1 + script.below(20))),
            9 => {
                let item = self.any(script, depth + 1);
                self.add(Type::Array(item))
            }
            10 => {
                let value = self.any(script, depth + 1);
                self.add(Type::Map(value))
            }
            11 => {
                let fields = script.below(5);
                self.record(script, depth, fields)
            }
            12 => script.choose(&self.named),
            _ => self.union(script, depth),
        }
    }

    /// Builds a union of branches that Avro allows in one union.
    fn union(&mut self, script: &mut Script<'_>, depth: usize) -> usize {
        let mut branches: Vec<usize> = Vec::new();
        for _ in 0..=script.below(4) {
            let branch = self.any(script, depth + 1);
            let is_new_kind = branches
                .iter()
                .all(|other| self.kind(*other) != self.kind(branch));
            if !matches!(self.types[branch], Type::Union(_)) && is_new_kind {
                branches.push(branch);
            }
        }
        if branches.is_empty() {
            branches.push(self.add(Type::Leaf(0)));
        }
        self.add(Type::Union(branches))
    }

    fn kind(&self, id: usize) -> String {
        match &self.types[id] {
            Type::Leaf(leaf) => LEAVES[*leaf].1.to_owned(),
            Type::Array(_) => "array".to_owned(),
            Type::Map(_) => "map".to_owned(),
            Type::Union(_) => "union".to_owned(),
            _ => format!("N{id}"),
        }
    }

    /// Returns the schema's text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        self.write(self.root, &mut HashSet::new(), &mut text);
        text
    }

    fn write(&self, id: usize, defined: &mut HashSet<usize>, out: &mut String) {
        let is_named = self.named.contains(&id);
        if is_named && !defined.insert(id) {
            *out += &format!("\"N{id}\"");
            return;
        }
        match &self.types[id] {
            Type::Leaf(leaf) => *out += LEAVES[*leaf].0,
            Type::Enum(symbols) => {
                let symbols = SYMBOLS[..*symbols].join("\",\"");
                *out += &format!(r#"{{"type":"enum","name":"N{id}","symbols":["{symbols}"]}}"#);
            }
            Type::Fixed(size) => {
                *out += &format!(r#"{{"type":"fixed","name":"N{id}","size":{size}}}"#);
            }
            Type::FixedDecimal(size) => {
                *out += &format!(
                    r#"{{"type":"fixed","name":"N{id}","size":{size},"logicalType":"decimal","precision":2,"scale":2}}"#
                );
            }
            Type::Array(item) => {
                *out += r#"{"type":"array","items":"#;
                self.write(*item, defined, out);
                out.push('}');
            }
            Type::Map(value) => {
                *out += r#"{"type":"map","values":"#;
                self.write(*value, defined, out);
                out.push('}');
            }
            Type::Union(branches) => {
                out.push('[');
                for (at, branch) in branches.iter().enumerate() {
                    *out += if at > 0 { "," } else { "" };
                    self.write(*branch, defined, out);
                }
                out.push(']');
            }
            Type::Record(fields) => {
                *out += &format!(r#"{{"type":"record","name":"N{id}","fields":["#);
                for (at, (name, field)) in fields.iter().enumerate() {
                    *out += if at > 0 { "," } else { "" };
                    *out += &format!(r#"{{"name":"{name}","type":"#);
                    self.write(*field, defined, out);
                    out.push('}');
                }
                *out += "]}";
            }
        }
    }

    /// Returns a body that follows the schema, as far as the bounds allow. Some bodies are spoiled.
    pub(crate) fn body(&self, script: &mut Script<'_>) -> Vec<u8> {
        let mut body = Vec::new();
        self.value(self.root, 0, script, &mut body);
        match script.below(8) {
            0..=4 => {}
            5 => body.truncate(script.below(256)),
            6 => body.push(script.byte()),
            _ => {
                let at = script.below(256);
                if let Some(byte) = body.get_mut(at) {
                    *byte = script.byte();
                }
            }
        }
        body
    }

    fn value(&self, id: usize, depth: usize, script: &mut Script<'_>, out: &mut Vec<u8>) {
        let left = self.values_left.get();
        if depth > 80 || left == 0 || out.len() > MAX_BODY {
            return;
        }
        self.values_left.set(left - 1);
        match &self.types[id] {
            Type::Leaf(leaf) => LEAVES[*leaf].2.value(script, out),
            Type::Enum(symbols) => long(script.below(*symbols) as i64, out),
            Type::Fixed(size) | Type::FixedDecimal(size) => fixed(*size, script, out),
            Type::Array(item) => self.blocks(depth, script, out, |script, out| {
                self.value(*item, depth + 1, script, out);
            }),
            Type::Map(value) => self.blocks(depth, script, out, |script, out| {
                Leaf::Text.value(script, out);
                self.value(*value, depth + 1, script, out);
            }),
            Type::Union(branches) => {
                let branch = script.below(branches.len());
                long(branch as i64, out);
                self.value(branches[branch], depth + 1, script, out);
            }
            Type::Record(fields) => {
                for (_, field) in fields {
                    self.value(*field, depth + 1, script, out);
                }
            }
        }
    }

    fn blocks(
        &self,
        depth: usize,
        script: &mut Script<'_>,
        out: &mut Vec<u8>,
        item: impl Fn(&mut Script<'_>, &mut Vec<u8>),
    ) {
        let most = if depth > MAX_DEPTH { 1 } else { 4 };
        for _ in 0..script.below(most) {
            let count = 1 + script.below(4);
            let mut block = Vec::new();
            for _ in 0..count {
                item(script, &mut block);
            }
            if script.below(2) == 0 {
                long(count as i64, out);
            } else {
                long(-(count as i64), out);
                long(block.len() as i64, out);
            }
            out.extend_from_slice(&block);
        }
        out.push(0);
    }
}

impl Leaf {
    fn value(self, script: &mut Script<'_>, out: &mut Vec<u8>) {
        const TEXTS: [&str; 8] = [
            "17",
            "SENT",
            "100.00",
            "EUR",
            "2026-11-23T09:30:00Z",
            "delivered",
            "1e2",
            "",
        ];
        match self {
            Self::Nothing => {}
            Self::Boolean => out.push(script.byte() & 1),
            Self::Int => long(i64::from(script.integer() as i32), out),
            Self::Long => long(script.integer(), out),
            Self::Text => {
                let text = match script.below(4) {
                    0 => script.text(),
                    _ => script.choose(&TEXTS).to_owned(),
                };
                sized(text.as_bytes(), out);
            }
            Self::Number => {
                let length = script.below(24);
                sized(script.take(length), out);
            }
            Self::Fixed(size) => fixed(size, script, out),
        }
    }
}

fn fixed(size: usize, script: &mut Script<'_>, out: &mut Vec<u8>) {
    let bytes = script.take(size);
    out.resize(out.len() + size - bytes.len(), 0);
    out.extend_from_slice(bytes);
}

fn sized(bytes: &[u8], out: &mut Vec<u8>) {
    long(bytes.len() as i64, out);
    out.extend_from_slice(bytes);
}

/// Appends a long: zigzag, seven bits in each byte, the lowest first. It is written once more, because a
/// fault in code that both sides share would not be found.
fn long(value: i64, out: &mut Vec<u8>) {
    let mut rest = value.wrapping_shl(1) as u64 ^ (value >> 63) as u64;
    loop {
        let group = (rest & 0x7f) as u8;
        rest >>= 7;
        if rest == 0 {
            out.push(group);
            return;
        }
        out.push(group | 0x80);
    }
}
