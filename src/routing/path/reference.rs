//! The plainest way to say what paths, patterns and trees mean, on bare texts: to compare with in tests and fuzzing.

/// Slash by slash.
pub(crate) fn format(text: &str) -> String {
    let mut out = format!("/{text}");
    while out.contains("//") {
        out = out.replace("//", "/");
    }
    if out.len() > 1 && out.ends_with('/') {
        out.pop();
    }
    out
}

pub(crate) fn is_pattern(text: &str) -> bool {
    text.len() <= 1_024
        && (text == "/" || text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(segment)))
}

pub(crate) fn is_path(text: &str) -> bool {
    is_pattern(text) && text != "/" && !text.contains('*')
}

fn segment(text: &str) -> bool {
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
    text == "*" || !text.is_empty() && text.chars().all(|c| letters.contains(c))
}

/// Whether a formatted pattern means a formatted path.
pub(crate) fn matches(pattern: &str, path: &str) -> bool {
    let (wanted, found): (Vec<_>, Vec<_>) =
        (pattern.split('/').collect(), path.split('/').collect());
    pattern != "/"
        && wanted.len() == found.len()
        && wanted.iter().zip(&found).all(|(wanted, found)| *wanted == "*" || wanted == found)
}

/// The paths that the picture of a tree shows.
pub(crate) fn drawn(picture: &str) -> Vec<String> {
    let mut above: Vec<String> = Vec::new();
    let mut paths = Vec::new();
    for line in picture.lines().skip(1) {
        let at = line.find("── ").expect("a name hangs on a branch");
        let name = &line[at + "── ".len()..];
        above.truncate(line[..at].chars().count() / 4);
        let before = above.last().map_or("", String::as_str);
        let whole = format!("{before}/{}", name.trim_end_matches('/'));
        if !name.ends_with('/') {
            paths.push(whole.clone());
        }
        above.push(whole);
    }
    paths
}
