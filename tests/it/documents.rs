//! The documents: every link to a file or a heading leads somewhere, every path in backticks exists, and the index of
//! decisions names every page.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use common::TestResult;

/// The beginnings of paths in backticks that the test checks. Other paths are relative to a folder that their sentence
/// names.
const TOP: &[&str] = &[
    "crates/", "docs/", "fuzz/", "python/", "scripts/", "src/", "tests/",
];

/// Folders with files that are not documents of this project.
const SKIPPED: &[&str] = &["target", "node_modules", "corpus", "artifacts"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All Markdown files below a folder, with their texts.
fn documents(folder: &Path, found: &mut HashMap<PathBuf, String>) -> TestResult {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') || SKIPPED.contains(&name.as_ref()) {
            continue;
        }
        if path.is_dir() {
            documents(&path, found)?;
        } else if name.ends_with(".md") {
            let text = fs::read_to_string(&path)?;
            found.insert(path, text);
        }
    }
    Ok(())
}

/// The lines outside of blocks of code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !fence && !in_code && !line.starts_with("    ")
    })
}

/// The text of a heading without its links.
fn plain(heading: &str) -> String {
    let mut rest = heading;
    let mut plain = String::new();
    while let Some(end) = rest.find("](") {
        plain.push_str(&rest[..end].replace('[', ""));
        let after = rest[end..]
            .find(')')
            .map_or("", |close| &rest[end + close + 1..]);
        rest = after;
    }
    plain + rest
}

/// The anchors of a document's headings, as GitHub makes them.
fn anchors(text: &str) -> HashSet<String> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let headings = prose(text).filter_map(|line| {
        let heading = line.trim_start_matches('#');
        (heading.len() < line.len()).then(|| heading.strip_prefix(' '))?
    });
    headings
        .map(|heading| {
            let anchor: String = plain(heading)
                .trim()
                .to_lowercase()
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect();
            let count = counts.entry(anchor.clone()).or_default();
            *count += 1;
            match *count {
                1 => anchor,
                more => format!("{anchor}-{}", more - 1),
            }
        })
        .collect()
}

/// The targets of the links in a text.
fn links(text: &str) -> Vec<String> {
    let text: Vec<&str> = prose(text).collect();
    let text = text.join("\n");
    text.match_indices("](")
        .filter_map(|(at, opening)| text[at + opening.len()..].split_once(')'))
        .map(|(target, _)| target.to_owned())
        .collect()
}

/// A path without `.` and `..`.
fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                tidy.pop();
            }
            Component::CurDir => {}
            other => tidy.push(other),
        }
    }
    tidy
}

#[test]
fn links_lead_somewhere() -> TestResult {
    let mut all = HashMap::new();
    documents(&root(), &mut all)?;
    let mut checked = 0;
    let mut broken = Vec::new();
    for (path, text) in &all {
        for target in links(text) {
            if target.contains("://") {
                continue;
            }
            checked += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let leads_to = if file.is_empty() {
                path.clone()
            } else {
                tidy(&path.with_file_name(file))
            };
            let has_anchor = || {
                all.get(&leads_to)
                    .is_some_and(|text| anchors(text).contains(anchor))
            };
            if !leads_to.exists() || !(anchor.is_empty() || has_anchor()) {
                broken.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(checked > 100, "only {checked} links were found");
    Ok(())
}

#[test]
fn paths_exist() -> TestResult {
    let mut all = HashMap::new();
    documents(&root(), &mut all)?;
    let mut missing = Vec::new();
    for (path, text) in &all {
        for line in prose(text) {
            let quoted = line.split('`').skip(1).step_by(2);
            for name in quoted.filter(|name| TOP.iter().any(|top| name.starts_with(top))) {
                // A command line begins with the program.
                let file = name.split([' ', ':', '*', '<']).next().unwrap_or(name);
                let made = file.starts_with("fuzz/corpus") || file.starts_with("fuzz/artifacts");
                if !made && !root().join(file).exists() {
                    missing.push(format!("{}: {name}", path.display()));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    Ok(())
}

#[test]
fn the_index_names_every_decision() -> TestResult {
    let folder = root().join("docs/adr");
    let index = fs::read_to_string(folder.join("README.md"))?;
    for entry in fs::read_dir(&folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "README.md" {
            assert!(index.contains(&format!("]({name})")), "{name}");
        }
    }
    Ok(())
}

#[test]
fn headings_become_anchors_as_on_github() {
    let text =
        "# What [a b](c.md) costs\n```\n# no heading\n```\n## A `x`, b: C-d_e\n## A\n## A\n#none\n";
    let expected = ["what-a-b-costs", "a-x-b-c-d_e", "a", "a-1"];
    assert_eq!(anchors(text), expected.map(str::to_owned).into());
}
