//! Items of source text, as far as the rules need them: found by words and brackets, which is
//! enough for formatted code. It must not judge anything.

use super::code;

/// The code without comments, the insides of literals, and items that exist only in tests.
pub(super) fn production(text: &str) -> String {
    let mut text = code(text);
    for attribute in ["#[cfg(test)]", "#[cfg(any(test, fuzzing))]"] {
        while let Some(at) = text.find(attribute) {
            let end = at + item(&text[at..]);
            blank(&mut text, at, end);
        }
    }
    text
}

fn blank(text: &mut String, at: usize, end: usize) {
    let blanks = text[at..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' });
    let blanks: String = blanks.collect();
    text.replace_range(at..end, &blanks);
}

/// The length of the item at the front with its attributes: up to its block, its semicolon, or in a
/// list its comma.
fn item(text: &str) -> usize {
    let attributes = text.len() - after_attributes(text).len();
    let head = text[attributes..].split(['{', ';']).next().unwrap_or_default();
    let is_import = head.starts_with("use ") || head.starts_with("pub") && head.contains(" use ");
    let (mut at, mut angles) = (attributes, 0);
    while let Some(byte) = text.as_bytes().get(at) {
        match byte {
            b'(' | b'[' => at = close(text, at),
            b'{' if is_import => at = close(text, at),
            b'{' => return close(text, at) + 1,
            b'<' => angles += 1,
            b'>' if !is_arrow(text, at) => angles -= 1,
            b',' if angles > 0 => {}
            b';' | b',' => return at + 1,
            b')' | b']' | b'}' => return at,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// What stands after blanks and attributes.
fn after_attributes(mut text: &str) -> &str {
    loop {
        text = text.trim_start();
        if !text.starts_with('#') {
            return text;
        }
        text = &text[close(text, 1) + 1..];
    }
}

/// Where the bracket that opens here is closed.
fn close(text: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, byte) in text.bytes().enumerate().skip(open) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    text.len() - 1
}

/// Whether this `>` is the end of `->` or `=>`.
fn is_arrow(text: &str, at: usize) -> bool {
    text[..at].ends_with(['-', '='])
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Where a word stands, or several with one space between them.
pub(super) fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let whole = move |at: &usize| {
        !text[..*at].ends_with(is_word) && !text[at + word.len()..].starts_with(is_word)
    };
    text.match_indices(word).map(|(at, _)| at).filter(whole)
}

/// Whether what follows is a variant: the path before it ends in a type.
pub(super) fn is_variant(before: &str) -> bool {
    let Some(path) = before.strip_suffix("::") else { return false };
    let begin = path.rfind(|c| !is_word(c)).map_or(0, |at| at + 1);
    path[begin..].starts_with(|c: char| c.is_uppercase())
}

/// The code without the names of variants where they are declared.
pub(super) fn without_variants(mut text: String) -> String {
    let enums: Vec<_> = words(&text, "enum").collect();
    for at in enums {
        let Some(open) = text[at..].find('{').map(|open| at + open) else { continue };
        let inside = text[open + 1..close(&text, open)].to_owned();
        for (begin, variant) in split(&inside) {
            let name = variant.find(|c| !is_word(c)).unwrap_or(variant.len());
            blank(&mut text, open + 1 + begin, open + 1 + begin + name);
        }
    }
    text
}

/// What stands between the commas outside of all brackets, without attributes, and where it begins.
fn split(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut begin = 0;
    loop {
        begin = text.len() - after_attributes(&text[begin..]).len();
        if begin >= text.len() {
            return found;
        }
        let end = begin + element(&text[begin..]);
        found.push((begin, &text[begin..end]));
        begin = (end + 1).min(text.len());
    }
}

/// The length of what stands before the next comma outside of all brackets.
fn element(text: &str) -> usize {
    let (mut at, mut angles) = (0, 0);
    while let Some(byte) = text.as_bytes().get(at) {
        match byte {
            b'(' | b'[' | b'{' => at = close(text, at),
            b'<' => angles += 1,
            b'>' if !is_arrow(text, at) => angles -= 1,
            b',' if angles == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    text.len()
}

pub(super) struct Struct<'a> {
    pub(super) name: &'a str,
    pub(super) at: usize,
    pub(super) fields: Vec<&'a str>,
}

pub(super) fn structs(text: &str) -> Vec<Struct<'_>> {
    let mut found = Vec::new();
    for at in words(text, "struct") {
        let name = first_word(&text[at + "struct".len()..]);
        let Some(open) = text[at..].find(['{', '(', ';']).map(|open| at + open) else { continue };
        let has_fields = !text[open..].starts_with(';');
        let inside = if has_fields { &text[open + 1..close(text, open)] } else { "" };
        let fields = split(inside).into_iter().map(|(_, field)| field).collect();
        found.push(Struct { name, at, fields });
    }
    found
}

fn first_word(text: &str) -> &str {
    let text = text.trim_start();
    &text[..text.find(|c| !is_word(c)).unwrap_or(text.len())]
}

/// Each function with a body: its name, where it begins, and where it ends.
pub(super) fn functions(text: &str) -> Vec<(&str, usize, usize)> {
    let mut found = Vec::new();
    for at in words(text, "fn") {
        let name = first_word(&text[at + "fn".len()..]);
        let mut end = at;
        while !matches!(text.as_bytes().get(end), None | Some(b'{' | b';')) {
            let opens = matches!(text.as_bytes()[end], b'(' | b'[');
            end = if opens { close(text, end) } else { end } + 1;
        }
        if text[end..].starts_with('{') && !name.is_empty() {
            found.push((name, at, close(text, end) + 1));
        }
    }
    found
}

/// An `impl` block.
pub(super) struct Impl<'a> {
    pub(super) at: usize,
    pub(super) head: &'a str,
    pub(super) body: &'a str,
}

/// All blocks, which begin a line; `impl Trait` does not.
pub(super) fn impls(text: &str) -> Vec<Impl<'_>> {
    let mut found = Vec::new();
    for at in words(text, "impl") {
        let begins_line = text[..at].trim_end_matches(' ').ends_with('\n') || at == 0;
        let Some(open) = text[at..].find('{').filter(|_| begins_line) else { continue };
        let (head, open) = (&text[at..at + open], at + open);
        found.push(Impl { at, head, body: &text[open..close(text, open)] });
    }
    found
}

/// The types with a method that takes `&mut self`.
pub(super) fn changing(text: &str) -> Vec<&str> {
    let changes = |block: &Impl<'_>| {
        block.body.match_indices("&mut self").any(|(at, taken)| {
            let after = block.body[at + taken.len()..].trim_start();
            block.body[..at].trim_end().ends_with('(') && after.starts_with([',', ')'])
        })
    };
    impls(text).iter().filter(|block| changes(block)).map(|block| subject(block.head)).collect()
}

/// The name of the type that a block is about.
fn subject(head: &str) -> &str {
    let generic = head["impl".len()..].trim_start();
    let generics = generic.starts_with('<').then(|| {
        let mut depth = 0;
        generic.char_indices().find_map(|(at, c)| {
            match c {
                '<' => depth += 1,
                '>' if !is_arrow(generic, at) => depth -= 1,
                _ => {}
            }
            (depth == 0).then_some(at + 1)
        })
    });
    let rest = &generic[generics.flatten().unwrap_or(0)..];
    let of = rest.split_once(" for ").map_or(rest, |(_, of)| of).trim_start();
    let path = &of[..of.find(['<', ' ']).unwrap_or(of.len())];
    path.rsplit("::").next().unwrap_or(path)
}

#[cfg(test)]
mod bites {
    use super::*;

    #[test]
    fn what_exists_only_in_tests_is_left_out() {
        let text = "#[cfg(test)]\nuse a::{b, c};\n\
                    #[cfg(test)]\nfn f<A, B>(a: A) -> B { {} }\n\
                    struct S {\n#[cfg(any(test, fuzzing))]\n#[x(y)]\na: Map<A, B>,\nb: u8,\n}\n\
                    fn g() {}";
        let left: String = production(text).split_whitespace().collect();
        assert_eq!(left, "structS{b:u8,}fng(){}");
        assert_eq!(production(text).lines().count(), text.lines().count());
    }
}
