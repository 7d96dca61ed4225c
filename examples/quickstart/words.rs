//! The work itself: cutting texts into pieces, and the index of one piece. It knows nothing of nodes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Lines in a piece: some tens of kilobytes on the wire for the answer, a fraction of a millisecond of work.
pub(crate) const LINES: usize = 120;

/// A piece of a text: what one request carries.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Piece {
    pub(crate) text: u32,
    pub(crate) first_line: u32,
    pub(crate) lines: Vec<String>,
}

/// Each word with the places where it stands: (text, line).
pub(crate) type Index = BTreeMap<String, Vec<(u32, u32)>>;

/// Cuts every text into pieces.
pub(crate) fn cut(texts: &[String]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (text, content) in texts.iter().enumerate() {
        let lines: Vec<String> = content.lines().map(str::to_owned).collect();
        for (number, chunk) in lines.chunks(LINES).enumerate() {
            let first_line = (number * LINES) as u32 + 1;
            pieces.push(Piece { text: text as u32, first_line, lines: chunk.to_vec() });
        }
    }
    pieces
}

/// The index of one piece.
pub(crate) fn index(piece: &Piece) -> Index {
    let mut index = Index::new();
    for (line, number) in piece.lines.iter().zip(piece.first_line..) {
        let words = line.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        for word in words {
            index.entry(word.to_lowercase()).or_default().push((piece.text, number));
        }
    }
    index
}

/// Adds the index of a piece to the index of everything; in which order the pieces come does not matter in the end.
pub(crate) fn merge(whole: &mut Index, part: Index) {
    for (word, places) in part {
        whole.entry(word).or_default().extend(places);
    }
}

/// Brings the places of every word into the order of the texts.
pub(crate) fn finish(mut whole: Index) -> Index {
    for places in whole.values_mut() {
        places.sort_unstable();
    }
    whole
}
