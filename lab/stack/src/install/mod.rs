//! What this machine has to have: programs that its user installs, and packages that are downloaded
//! once into the user's cache folder.

mod cache;
mod maven;
mod packages;
pub(crate) mod prerequisites;

pub(crate) use cache::Cache;
pub(crate) use packages::{file_ending, kafka, postgres, registry};
