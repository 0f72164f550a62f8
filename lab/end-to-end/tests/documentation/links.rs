//! Links between documents lead to a file, and to a heading of it.

use std::path::Path;

use anyhow::{Context, Result};

use crate::{documents, markdown, name, project};

/// Returns why a link of the document at `from` is broken, or `None` if it is not.
fn fault(from: &Path, target: &str) -> Result<Option<String>> {
    if target.contains("://") || target.starts_with("mailto:") {
        return Ok(None);
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let folder = from.parent().context("a document is in a folder")?;
    let path = match file {
        "" => from.to_owned(),
        file => folder.join(file),
    };
    if !path.exists() {
        return Ok(Some(format!("there is no {file}")));
    }
    if anchor.is_empty() {
        return Ok(None);
    }
    let anchors = markdown::anchors(&std::fs::read_to_string(&path)?);
    let is_there = anchors.iter().any(|other| other == anchor);
    Ok((!is_there).then(|| format!("there is no heading #{anchor} among {anchors:?}")))
}

#[test]
fn every_link_between_documents_leads_to_a_file_and_a_heading() -> Result<()> {
    let mut faults = Vec::new();
    for document in documents()? {
        for link in markdown::links(&std::fs::read_to_string(&document)?) {
            if let Some(fault) = fault(&document, &link)? {
                faults.push(format!("{}: ({link}): {fault}", name(&document)));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    Ok(())
}

#[test]
fn every_decision_is_listed() -> Result<()> {
    let folder = project().join("docs/adr");
    let listed = markdown::links(&std::fs::read_to_string(folder.join("README.md"))?);
    for decision in crate::files(&folder, &["md"])? {
        let file = decision.file_name().context("a file")?.to_string_lossy();
        assert!(
            file == "README.md" || listed.iter().any(|link| *link == file),
            "docs/adr/README.md does not list {file}"
        );
    }
    Ok(())
}
