//! The log of the crate on standard error, for those who ask for it with `-v`.

use std::io::{self, Write};

use log::{LevelFilter, Log, Metadata, Record};

use crate::output::clean;

struct StandardError;

/// Shows what the crate logs: errors always, more with each `-v`.
pub(crate) fn install(times: u8) {
    let level = match times {
        0 => LevelFilter::Error,
        1 => LevelFilter::Info,
        2 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    if log::set_logger(&StandardError).is_ok() {
        log::set_max_level(level);
    }
}

impl Log for StandardError {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let text = clean(&record.args().to_string());
        // Where nobody reads, nobody is told.
        let _ = writeln!(io::stderr().lock(), "{:5} {}: {text}", record.level(), record.target());
    }

    fn flush(&self) {}
}
