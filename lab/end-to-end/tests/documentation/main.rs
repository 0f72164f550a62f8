//! The documents agree with the code and with each other. No services are needed.

mod generated;
mod links;
mod markdown;
mod names;
mod paths;
mod rules;
mod settings;

use std::path::{Path, PathBuf};

/// The root of the project, which paths in documents are relative to.
fn project() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.."))
}

/// All files below `folder` with one of these extensions, but for what is built, downloaded or
/// hidden.
fn files(folder: &Path, extensions: &[&str]) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.unwrap_or_default();
        if path.is_dir() {
            if !name.starts_with('.') && !["target", "node_modules", "corpus"].contains(&name) {
                found.extend(files(&path, extensions)?);
            }
        } else if path
            .extension()
            .is_some_and(|end| extensions.iter().any(|extension| end == *extension))
        {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Every document of the project.
fn documents() -> std::io::Result<Vec<PathBuf>> {
    files(project(), &["md"])
}

/// A path as a person would write it, from the project's root.
fn name(path: &Path) -> String {
    let path = path.strip_prefix(project()).unwrap_or(path);
    path.display().to_string()
}
