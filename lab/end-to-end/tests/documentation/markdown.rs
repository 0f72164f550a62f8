//! The parts of Markdown that the checks need: headings with their anchors, links, code spans.

/// Returns the lines outside of code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && !is_fence
    })
}

/// Returns the anchors of a document's headings, as GitHub derives them.
pub(crate) fn anchors(text: &str) -> Vec<String> {
    let mut anchors: Vec<String> = Vec::new();
    for line in prose(text) {
        let heading = line.trim_start_matches('#');
        let level = line.len() - heading.len();
        if !(1..=6).contains(&level) || !heading.starts_with(' ') {
            continue;
        }
        let anchor = anchor(heading.trim());
        let earlier = anchors.iter().filter(|other| **other == anchor).count();
        anchors.push(match earlier {
            0 => anchor,
            number => format!("{anchor}-{number}"),
        });
    }
    anchors
}

/// Keeps letters, digits, hyphens and underscores, in lower case, and replaces spaces by hyphens.
fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// Returns the targets of `[text](target)` outside of code.
pub(crate) fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    for line in prose(text) {
        let line = without_code(line);
        for (start, _) in line.match_indices("](") {
            let target = line.get(start + 2..).unwrap_or_default();
            if let Some((target, _)) = target.split_once(')') {
                links.push(target.to_owned());
            }
        }
    }
    links
}

/// Removes the code spans of a line.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

/// Returns the texts of code spans outside of code blocks.
pub(crate) fn code_spans(text: &str) -> Vec<&str> {
    let spans = prose(text).flat_map(|line| line.split('`').skip(1).step_by(2));
    spans.collect()
}

#[test]
fn anchors_are_those_of_github() {
    let text = "# A group's offset: 1.5 `x_y`\n```sh\n# no heading\n```\n## Twice\n## Twice\n#hash";
    assert_eq!(
        anchors(text),
        ["a-groups-offset-15-x_y", "twice", "twice-1"]
    );
}

#[test]
fn links_and_code_are_told_apart() {
    let text = "[a](b.md#c) and `[d](e)`\n```\n[f](g)\n```\n[h](i) `j/k`";
    assert_eq!(links(text), ["b.md#c", "i"]);
    assert_eq!(code_spans(text), ["[d](e)", "j/k"]);
}
