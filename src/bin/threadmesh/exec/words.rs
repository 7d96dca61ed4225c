//! A command line cut into words, as a shell cuts plain words and quotes, and nothing else of what a shell does: `|`, `>`, `$`, `*` and `~`
//! are letters like all others.

/// Cuts `text` into words. `'…'` is literal, `"…"` knows `\"` and `\\`, and `\` before any character outside of quotes makes it a letter.
pub(crate) fn split(text: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut rest) = (Vec::new(), None::<String>, text.chars());
    while let Some(c) = rest.next() {
        match c {
            _ if c.is_whitespace() => words.extend(word.take()),
            '\'' | '"' => quoted(c, &mut rest, word.get_or_insert_default())?,
            '\\' => {
                let letter = rest.next().ok_or("a \\ at the end makes nothing a letter")?;
                word.get_or_insert_default().push(letter);
            }
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

/// The rest of what stands in quotes.
fn quoted(quote: char, rest: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), String> {
    while let Some(c) = rest.next() {
        match c {
            _ if c == quote => return Ok(()),
            '\\' if quote == '"' => match rest.next() {
                Some(letter @ ('"' | '\\')) => word.push(letter),
                Some(other) => word.extend(['\\', other]),
                None => break,
            },
            _ => word.push(c),
        }
    }
    Err(format!("a {quote} is not closed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_quotes_are_cut_as_a_shell_cuts_them() {
        for (text, words) in [
            ("", &[][..]),
            ("  a  b\tc\n", &["a", "b", "c"]),
            ("jq '.a | .b' \"it's\"", &["jq", ".a | .b", "it's"]),
            (r#"a"b c"'d e'f"#, &["ab cd ef"]),
            (r#""a \"b\" \\ \n""#, &[r#"a "b" \ \n"#]),
            (r"'a\b' a\ b \'", &[r"a\b", "a b", "'"]),
            ("'' \"\"", &["", ""]),
            ("ä 'ö ü'", &["ä", "ö ü"]),
        ] {
            assert_eq!(split(text).unwrap(), words, "{text}");
        }
    }

    #[test]
    fn what_a_shell_would_act_on_is_letters() {
        let words = split("a;b | c > d $HOME `e` *.rs ~ && f # g").unwrap();
        assert_eq!(words.join(" "), "a;b | c > d $HOME `e` *.rs ~ && f # g");
    }

    #[test]
    fn what_is_not_closed_is_told() {
        for text in ["'a", "a \"b", "a\\", "\"a\\"] {
            assert!(split(text).is_err(), "{text}");
        }
    }
}
