//! Fetches the schemas of other subjects that a schema refers to.
//!
//! Anybody who may register schemas decides how they refer to each other. So the number of schemas, the
//! depth and the bytes are limited, and a name with two versions is refused.

use std::collections::HashMap;

use super::address::Resource;
use super::answer::{Found, Reference};
use super::client::RegistryError;
use super::schema::is_avro;
use super::transport::{Request, Transport, json};

/// The maximum number of schemas that one may refer to, directly and indirectly.
const MAX_REFERENCES: usize = 100;

/// The maximum number of steps of a chain of references.
const MAX_DEPTH: usize = 16;

/// The maximum number of bytes of all texts together, as many as the longest schema may have.
const MAX_REFERENCED_BYTES: usize = 1 << 20;

/// Returns the texts of all schemas that `found` refers to, directly and indirectly. A schema comes after
/// those that it refers to.
///
/// # Errors
/// [`RegistryError::Unsupported`] beyond the bounds, for a cycle, and for a type with two versions.
pub(super) async fn texts(
    transport: &Transport,
    found: &Found,
    what: &str,
) -> Result<Vec<String>, RegistryError> {
    let mut walk = Walk {
        transport,
        what,
        places: HashMap::new(),
        names: HashMap::new(),
        texts: Vec::new(),
        bytes: found.schema.len(),
    };
    if let Some(references) = &found.references {
        walk.visit(references, 1).await?;
    }
    Ok(walk.texts)
}

/// A subject and one of its versions. Versions never change.
type Version = (String, i64);

struct Walk<'a> {
    transport: &'a Transport,
    what: &'a str,
    /// True for versions whose text is in `texts`, false for those that are being visited.
    places: HashMap<Version, bool>,
    names: HashMap<String, Version>,
    texts: Vec<String>,
    bytes: usize,
}

impl Walk<'_> {
    async fn visit(&mut self, references: &[Reference], depth: usize) -> Result<(), RegistryError> {
        for reference in references {
            let version = (reference.subject.clone(), reference.version);
            let known = self.names.insert(reference.name.clone(), version.clone());
            if known.is_some_and(|known| known != version) {
                return self.refused(format!("to two versions of {}", reference.name));
            }
            match self.places.get(&version) {
                Some(true) => continue,
                Some(false) => return self.refused("to itself".to_owned()),
                None if self.places.len() >= MAX_REFERENCES => {
                    return self.refused(format!("to more than {MAX_REFERENCES} others"));
                }
                None if depth > MAX_DEPTH => {
                    return self.refused(format!("over more than {MAX_DEPTH} steps"));
                }
                None => {}
            }
            self.places.insert(version.clone(), false);
            let found = self.fetch(reference).await?;
            self.bytes += found.schema.len();
            if self.bytes > MAX_REFERENCED_BYTES {
                return self.refused("to more than 1 MiB of others".to_owned());
            }
            if let Some(references) = &found.references {
                Box::pin(self.visit(references, depth + 1)).await?;
            }
            self.texts.push(found.schema);
            self.places.insert(version, true);
        }
        Ok(())
    }

    async fn fetch(&self, reference: &Reference) -> Result<Found, RegistryError> {
        let Reference {
            name,
            subject,
            version,
        } = reference;
        let what = format!(
            "{}, which refers to {name} (subject {subject}, version {version})",
            self.what
        );
        let path = ["subjects", subject, "versions", &version.to_string()];
        // Schemas may still refer to a version that was soft-deleted.
        let resource = Resource::confluent(path).with_query("deleted=true");
        let request = Request::get(resource, &what);
        let found: Found = self.transport.send(&request, json).await?;
        let kind = found.schema_type.as_deref();
        if !is_avro(kind) {
            let kind = kind.unwrap_or_default();
            return self.refused(format!("to {name}, which is {kind}, not Avro"));
        }
        Ok(found)
    }

    fn refused<T>(&self, how: String) -> Result<T, RegistryError> {
        let why = format!("{} refers {how}", self.what);
        Err(RegistryError::Unsupported(super::shortened(&why)))
    }
}
