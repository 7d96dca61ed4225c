//! `node --exec`: what the program is given, what becomes of what it says, and that it does not outlive its time.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::{
    LIMIT, Process, Watch, bounded, ended, is_alive, program, run, run_with, text,
};

/// A node that runs this, and how to ask it.
fn tool(exec: &str) -> (Process, String) {
    let (node, address) = Process::serving(&format!("node --id tool --bind 127.0.0.1:0 {exec}"));
    (node, format!("request --connect {address} --to tool"))
}

/// The error that a request fails with.
fn fails(request: &str, code: &str) -> String {
    let output = run(request);
    ended(&output, 1);
    let said = text(&output.stderr).to_owned();
    assert!(said.starts_with(&format!("threadmesh: {code}: ")), "{said}");
    said
}

/// Where a program writes its number.
pub(crate) fn file(name: &str) -> PathBuf {
    let path =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    // It may be left from another run.
    let _ = fs::remove_file(&path);
    path
}

/// The number in that file, as soon as it is there.
pub(crate) fn number(path: &Path) -> u32 {
    eventually(|| fs::read_to_string(path).ok()?.trim().parse().ok())
}

pub(crate) fn eventually<T>(look: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "it does not come");
        thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn data_goes_in_as_json_and_comes_back_as_json_or_text() {
    let _bound = bounded();
    let (_node, request) = tool("--exec cat");
    let data = r#"{"list":[1,2.5,null],"text":"ä\n"}"#;
    assert_eq!(ended(&run_with(&format!("{request} exec -"), data), 0), format!("{data}\n"));
    let (_node, request) = tool("--exec 'echo two words'");
    assert_eq!(ended(&run(&format!("{request} exec")), 0), "\"two words\"\n");
}

#[test]
fn nothing_of_a_request_becomes_a_word_of_the_command() {
    let _bound = bounded();
    let shown = "sh -c 'echo \"$#:$THREADMESH_EVENT:$THREADMESH_FROM\"' name";
    let (_node, request) =
        tool(&format!("--exec \"{}\" --on 'tool:*'", shown.replace('"', "\\\"")));
    let output = run(&format!("{request} 'tool:$(exit 7) ; \"'"));
    let said = ended(&output, 0);
    assert!(said.starts_with(r#""0:tool:$(exit 7) ; \":"#), "{said}");
}

#[test]
fn the_word_of_the_operator_counts_more_than_what_is_built_in() {
    let _bound = bounded();
    let (_node, request) = tool("--exec 'echo mine' --on ping --on /tools/ping");
    assert_eq!(ended(&run(&format!("{request} ping")), 0), "\"mine\"\n");
    assert_eq!(ended(&run(&format!("{request} /tools/ping")), 0), "\"mine\"\n");
    assert_eq!(ended(&run(&format!("{request} echo 1")), 0), "1\n");
}

#[test]
fn a_program_that_fails_is_an_error_with_its_status_and_the_end_of_what_it_complained_about() {
    let _bound = bounded();
    let script = "(printf %05000d 7; echo; echo no such thing) >&2; exit 3";
    let (_node, request) = tool(&format!("--exec \"sh -c '{script}'\""));
    let said = fails(&format!("{request} exec"), "EXEC_FAILED");
    assert!(said.contains("sh ended with exit status: 3: 0000"), "{said}");
    assert!(said.ends_with("07\\nno such thing\n"), "{said}");
    assert!(said.len() < 1500, "{}", said.len());
    let (_node, request) = tool("--exec /there/is/no/such/program");
    assert!(fails(&format!("{request} exec"), "EXEC_FAILED").contains("could not be started"));
}

#[test]
fn a_program_that_takes_too_long_is_killed_with_all_that_it_has_started() {
    let _bound = bounded();
    let (child, grandchild) = (file("late"), file("late-child"));
    let script = format!(
        "echo $$ > {}; sleep 100 & echo $! > {}; wait",
        child.display(),
        grandchild.display()
    );
    let (_node, request) = tool(&format!("--exec \"sh -c '{script}'\" --exec-timeout 0.5"));
    fails(&format!("{request} --timeout 30 exec"), "EXEC_TIMEOUT");
    let (child, grandchild) = (number(&child), number(&grandchild));
    assert!(!is_alive(child), "it was reaped before the answer was sent");
    eventually(|| (!is_alive(grandchild)).then_some(()));
}

#[test]
fn a_program_nobody_waits_for_any_more_is_killed() {
    let _bound = bounded();
    for how in ["INT", "KILL"] {
        let path = file(how);
        let (node, request) =
            tool(&format!("--exec \"sh -c 'echo $$ > {}; exec sleep 100'\"", path.display()));
        let mut caller = program(&format!("{request} --timeout 50 exec")).spawn().unwrap();
        let _watch = Watch::over(&caller);
        let child = number(&path);
        crate::process::signal(how, caller.id());
        caller.wait().unwrap();
        eventually(|| (!is_alive(child)).then_some(()));
        drop(node);
    }
}

#[test]
fn the_end_of_the_node_is_the_end_of_the_program() {
    let _bound = bounded();
    let path = file("end");
    let (node, request) =
        tool(&format!("--exec \"sh -c 'echo $$ > {}; exec sleep 100'\"", path.display()));
    let mut caller = program(&format!("{request} --timeout 50 exec")).spawn().unwrap();
    let _watch = Watch::over(&caller);
    let child = number(&path);
    node.signal("INT");
    assert_eq!(node.end().1, Some(0));
    assert!(!is_alive(child));
    assert_ne!(caller.wait().unwrap().code(), Some(0));
}

#[test]
fn a_program_that_writes_too_much_is_killed() {
    let _bound = bounded();
    let (_node, request) = tool("--exec yes --exec-output 100000");
    assert!(fails(&format!("{request} exec"), "EXEC_OUTPUT").contains("100000 bytes"));
    let (_node, request) = tool("--exec 'head -c 1000 /dev/zero' --exec-output 1000");
    assert_eq!(ended(&run(&format!("{request} exec")), 0).len(), 1000 * "\\u0000".len() + 3);
}

#[test]
fn a_program_that_does_not_read_its_input_holds_nobody_up() {
    let _bound = bounded();
    // More than a pipe holds.
    let data = format!("\"{}\"", "x".repeat(1 << 20));
    let (_node, request) = tool("--exec 'echo done'");
    assert_eq!(ended(&run_with(&format!("{request} exec -"), &data), 0), "\"done\"\n");
    let (_node, request) = tool("--exec 'sleep 100' --exec-timeout 0.3");
    let output = run_with(&format!("{request} exec -"), &data);
    ended(&output, 1);
    assert!(text(&output.stderr).contains("EXEC_TIMEOUT"), "{output:?}");
}

#[test]
fn more_requests_than_run_at_once_wait_in_line() {
    let _bound = bounded();
    let (_node, request) = tool("--exec 'echo 1' --exec-parallel 1");
    let ask = || {
        let caller = program(&format!("{request} exec")).spawn().unwrap();
        (Watch::over(&caller), caller)
    };
    let callers: Vec<_> = (0..4).map(|_| ask()).collect();
    for (_watch, caller) in callers {
        assert_eq!(ended(&caller.wait_with_output().unwrap(), 0), "1\n");
    }
}
