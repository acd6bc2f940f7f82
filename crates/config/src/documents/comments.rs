//! The comments of the default configuration file: what each directive means, in words.

use crate::directives::find;

/// The default file, which names every directive that has an effect.
pub(super) const DEFAULT_FILE: &str = include_str!("../../../../config/pmemkv-server.conf");

/// The mark around a section's title.
const RULE: &str = "##########";

/// A section of the file.
#[derive(Debug, Default)]
pub(super) struct Section {
    /// Its title; empty for the head of the file.
    pub title: &'static str,
    /// Its blocks.
    pub blocks: Vec<Block>,
}

/// Lines of comment and the directives below them.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// The comment's lines without their `#`.
    pub comment: Vec<&'static str>,
    /// The directives' places in the table, each once.
    pub directives: Vec<usize>,
}

/// The sections of the default file. The first one is its head.
pub(super) fn sections() -> Vec<Section> {
    let mut sections = vec![Section::default()];
    let mut block = Block::default();
    for line in DEFAULT_FILE.lines().chain([""]) {
        let last = sections.len() - 1;
        if line.is_empty() {
            if !block.comment.is_empty() || !block.directives.is_empty() {
                sections[last].blocks.push(std::mem::take(&mut block));
            }
        } else if let Some(title) = line.strip_prefix(RULE) {
            let title = title.trim_end_matches('#').trim();
            sections.push(Section {
                title,
                blocks: Vec::new(),
            });
        } else if let Some(comment) = line.strip_prefix('#') {
            block
                .comment
                .push(comment.strip_prefix(' ').unwrap_or(comment));
        } else if let Some(place) = line
            .split(' ')
            .next()
            .and_then(|name| find(name.as_bytes()))
            && !block.directives.contains(&place)
        {
            block.directives.push(place);
        }
    }
    sections
}

/// The first sentence of the comment above a directive; `None` if the file does not name the directive.
pub(super) fn sentence(sections: &[Section], place: usize) -> Option<String> {
    let mut blocks = sections.iter().flat_map(|section| &section.blocks);
    let block = blocks.find(|block| block.directives.contains(&place))?;
    let text = block.comment.join(" ");
    let end = text.find(". ").or_else(|| text.find(": "));
    let sentence = end.map_or(text.as_str(), |end| &text[..end]);
    Some(sentence.trim_end_matches(['.', ':']).to_owned())
}
