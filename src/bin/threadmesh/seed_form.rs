//! The form with flags, `threadmesh --router …` and `threadmesh --node …`, which means the commands of these names.

use std::ffi::OsString;

/// The flags that stand for commands.
const FLAGS: &[(&str, &str)] = &[("--router", "router"), ("--node", "node")];

/// The words of the command line, with such a flag made the command. It must stand before any command: `--node` means something
/// else to nobody, but `request --node` is a mistake that deserves to be told.
pub(crate) fn as_command(mut words: Vec<OsString>) -> Vec<OsString> {
    let is_flag = |word: &OsString| word.to_str().is_some_and(|word| word.starts_with('-'));
    if !words.get(1).is_some_and(is_flag) {
        return words;
    }
    let command = |word: &OsString| FLAGS.iter().find(|(flag, _)| word == *flag);
    let found = words.iter().enumerate().skip(1).find_map(|(at, word)| Some((at, command(word)?)));
    if let Some((at, (_, command))) = found {
        words.remove(at);
        words.insert(1, (*command).into());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> String {
        let words = as_command(line.split(' ').map(OsString::from).collect());
        words.iter().map(|word| word.to_str().unwrap()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_flag_is_made_the_command_wherever_it_stands() {
        assert_eq!(read("threadmesh --router --bind :0"), "threadmesh router --bind :0");
        assert_eq!(read("threadmesh --json --node --name a"), "threadmesh node --json --name a");
        assert_eq!(read("threadmesh --name a --node"), "threadmesh node --name a");
    }

    #[test]
    fn nothing_else_is_changed() {
        for line in [
            "threadmesh",
            "threadmesh --help",
            "threadmesh request --node",
            "threadmesh node --router",
        ] {
            assert_eq!(read(line), line);
        }
    }
}
