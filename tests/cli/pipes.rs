//! Whoever reads the output of the program may stop reading: that ends commands that only print, quietly, and harms no server.

use std::process::Stdio;

use crate::process::{Process, Watch, bounded, program, run, text};

#[test]
#[cfg(unix)]
fn a_command_that_only_prints_ends_quietly_when_nobody_reads_it_any_more() {
    let _bound = bounded();
    let (_router, address) = Process::serving("router --bind 127.0.0.1:0");
    for command in ["watch", "top --interval 60", "watch --json"] {
        let mut command = program(&format!("{command} --connect {address}"));
        let mut child = command.spawn().expect("the program was built");
        let _watch = Watch::over(&child);
        // What `head -1` does.
        let mut line = [0; 1];
        let mut pipe = child.stdout.take().expect("it is piped");
        std::io::Read::read_exact(&mut pipe, &mut line).expect("it prints");
        drop(pipe);
        let output = child.wait_with_output().expect("a child can be waited for");
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(text(&output.stderr), "");
    }
}

#[test]
fn a_command_whose_output_nobody_reads_at_all_still_tells_by_its_exit_code() {
    let _bound = bounded();
    let (_router, address) = Process::serving("router --id main --bind 127.0.0.1:0");
    for (command, code) in [("--to main ping", 0), ("--to nobody ping", 3)] {
        let mut command = program(&format!("request --connect {address} {command}"));
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the program was built");
        let _watch = Watch::over(&child);
        drop((child.stdout.take(), child.stderr.take()));
        assert_eq!(child.wait().expect("a child can be waited for").code(), Some(code));
    }
}

#[test]
fn a_node_serves_on_when_nobody_reads_what_it_prints() {
    let _bound = bounded();
    let mut node = program("node --id quiet --bind 127.0.0.1:0").spawn().expect("it was built");
    let _watch = Watch::over(&node);
    let mut said = std::io::BufReader::new(node.stdout.take().expect("it is piped"));
    let mut address = String::new();
    while !address.starts_with("listening on ") {
        address.clear();
        std::io::BufRead::read_line(&mut said, &mut address).expect("it prints");
    }
    drop(said);
    let address = address.trim().trim_start_matches("listening on ");
    for event in ["message '\"is anybody there?\"'", "ping"] {
        let output = run(&format!("request --connect {address} --to quiet {event}"));
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    node.kill().expect("it still runs");
    node.wait().expect("a child can be waited for");
}
