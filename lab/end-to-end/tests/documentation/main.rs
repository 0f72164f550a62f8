//! The documents agree with the code and with each other. No services are needed.

mod generated;
mod links;
mod markdown;
mod names;
mod paths;
mod rules;
mod settings;

use std::path::{Path, PathBuf};

/// Returns the root of the project; paths in documents are relative to it.
fn project() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.."))
}

/// Returns all files below `folder` with one of these extensions, without built, downloaded and hidden
/// ones.
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

/// Returns every document of the project.
fn documents() -> std::io::Result<Vec<PathBuf>> {
    files(project(), &["md"])
}

/// Returns a path relative to the root of the project.
fn name(path: &Path) -> String {
    let path = path.strip_prefix(project()).unwrap_or(path);
    path.display().to_string()
}
