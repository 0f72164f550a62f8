//! The fuzz targets, by what they decode.

pub(crate) mod avro;
pub(crate) mod dead_letter;
pub(crate) mod decimal;
pub(crate) mod framing;
pub(crate) mod headers;
pub(crate) mod http;
pub(crate) mod json;
pub(crate) mod pipeline;
pub(crate) mod settings;
