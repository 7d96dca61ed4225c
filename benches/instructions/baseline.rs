//! The kept figures: `baseline.txt`, read and written. It must not judge them.

use std::fmt::{self, Write};
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

const HEAD: &str = "\
# Instructions per operation. `cargo bench --bench instructions --features bench` compares with the
# column \"now\", and writes this file: see ../README.md.
";

/// What figures depend on, beside the source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Build {
    rustc: String,
    target: String,
}

impl Build {
    /// Returns the compiler's version and the target.
    pub(crate) fn of_this_program() -> Result<Self, String> {
        let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let output = Command::new(&rustc).arg("--version").output();
        let output = output.map_err(|error| format!("{}: {error}", rustc.to_string_lossy()))?;
        let version = String::from_utf8_lossy(&output.stdout);
        let version = version.trim().strip_prefix("rustc ");
        let rustc = version.ok_or("`rustc --version` reports no version")?.to_owned();
        let environment = if cfg!(target_env = "musl") { "musl" } else { "gnu" };
        let target = format!("{}-{}-{environment}", env::consts::ARCH, env::consts::OS);
        Ok(Self { rustc, target })
    }
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rustc {} on {}", self.rustc, self.target)
    }
}

/// One figure.
#[derive(Debug)]
pub(crate) struct Row {
    name: String,
    pub(crate) before: f64,
    pub(crate) now: f64,
}

/// All kept figures of one build.
#[derive(Debug)]
pub(crate) struct Baseline {
    pub(crate) build: Build,
    /// Which commit the figures "before" are of.
    pub(crate) before: String,
    rows: Vec<Row>,
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/instructions/baseline.txt")
}

impl Baseline {
    pub(crate) fn new(build: Build) -> Self {
        Self { build, before: String::new(), rows: Vec::new() }
    }

    /// Reads the kept figures.
    pub(crate) fn read() -> Result<Self, String> {
        let path = path();
        let text = fs::read_to_string(&path);
        let text = text.map_err(|error| format!("{}: {error}", path.display()))?;
        let mut kept = Self::new(Build { rustc: String::new(), target: String::new() });
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            kept.line(line).ok_or_else(|| format!("{}: what is {line:?}?", path.display()))?;
        }
        Ok(kept)
    }

    fn line(&mut self, line: &str) -> Option<()> {
        let (name, rest) = line.split_once(char::is_whitespace)?;
        let rest = rest.trim();
        match name {
            "rustc" => rest.clone_into(&mut self.build.rustc),
            "target" => rest.clone_into(&mut self.build.target),
            "before" => rest.clone_into(&mut self.before),
            "figure" => {}
            _ => {
                let (before, now) = rest.split_once(char::is_whitespace)?;
                let (before, now) = (before.parse().ok()?, now.trim().parse().ok()?);
                self.rows.push(Row { name: name.to_owned(), before, now });
            }
        }
        Some(())
    }

    /// Returns the figure of that name.
    pub(crate) fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// Returns the names of all figures.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().map(|row| row.name.as_str())
    }

    /// Replaces or adds a figure. Without a value for "before" the kept one stays; a new figure has
    /// its first value there.
    pub(crate) fn set(&mut self, name: &str, before: Option<f64>, now: f64) {
        let before = before.or(self.row(name).map(|row| row.before)).unwrap_or(now);
        let row = Row { name: name.to_owned(), before, now };
        match self.rows.iter().position(|row| row.name == name) {
            Some(at) => self.rows[at] = row,
            None => self.rows.push(row),
        }
    }

    /// Writes the file.
    pub(crate) fn write(&self) -> Result<(), String> {
        let Build { rustc, target } = &self.build;
        let mut text =
            format!("{HEAD}rustc   {rustc}\ntarget  {target}\nbefore  {}\n", self.before);
        let _ = writeln!(text, "\n{:<22}{:>12}{:>12}", "figure", "before", "now");
        for Row { name, before, now } in &self.rows {
            let _ = writeln!(text, "{name:<22}{before:>12.1}{now:>12.1}");
        }
        let path = path();
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        println!("\nwritten to {}", path.display());
        Ok(())
    }
}
