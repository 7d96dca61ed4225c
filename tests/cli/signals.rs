//! Ctrl-C and its relatives: servers end with 0 and with goodbyes, commands under way with 130, and a second signal ends at once.

use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use crate::process::{Process, Watch, bounded, program, signal, text};

#[test]
fn servers_that_are_told_to_end_say_goodbye_and_end_with_zero() {
    let _bound = bounded();
    let (router, address) = Process::serving("router --bind 127.0.0.1:0");
    let mut watch = Process::start(&format!("watch --connect {address}"));
    watch.hear("joined ");
    for name in ["INT", "TERM"] {
        let (node, _) =
            Process::serving(&format!("node --id {name} --bind 127.0.0.1:0 --connect {address}"));
        let mut beside = Process::start(&format!("node --connect {address} --events --patient"));
        beside.hear("ready");
        node.signal(name);
        assert_eq!(node.end(), ("stopped\n".to_owned(), Some(0)));
    }
    router.signal("INT");
    assert_eq!(watch.hear("left ").rsplit_once(" (").unwrap().1, "it said goodbye)");
    assert_eq!(router.end(), ("stopped\n".to_owned(), Some(0)));
}

#[test]
fn a_request_under_way_is_given_up_and_says_that_it_may_have_run() {
    let _bound = bounded();
    let (mut node, address) = Process::serving(
        "node --id slow --bind 127.0.0.1:0 --exec \"sh -c 'echo running >&2; exec sleep 50'\" --on wait --events",
    );
    for json in ["", " --json"] {
        let command = format!("request --connect {address} --to slow --timeout 50{json} wait");
        let child = program(&command).spawn().expect("the program was built");
        let _watch = Watch::over(&child);
        // It has connected, and its request is on its way.
        node.hear("joined ");
        signal("INT", child.id());
        let output = child.wait_with_output().expect("a child can be waited for");
        assert_eq!(output.status.code(), Some(130), "{output:?}");
        let said = text(&output.stderr);
        assert!(said.contains("INTERRUPTED"), "{said}");
        assert_eq!(said.starts_with("{\"error\":"), !json.is_empty(), "{said}");
    }
}

#[test]
fn waiting_for_a_connection_can_be_interrupted() {
    let _bound = bounded();
    // It takes the connection, and never says a word.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let line = format!("request --connect {address} --connect-timeout 50 --any ping");
    let mut child = program(&line).spawn().expect("the program was built");
    let _watch = Watch::over(&child);
    let _taken = listener.accept().expect("it connects");
    signal("INT", child.id());
    assert_eq!(child.wait().expect("a child can be waited for").code(), Some(130));
}

#[test]
fn watching_and_measuring_end_with_130() {
    let _bound = bounded();
    let (mut router, address) = Process::serving("router --id main --bind 127.0.0.1:0 --events");
    for command in ["watch", "top --interval 50"] {
        let mut process = Process::start(&format!("{command} --connect {address}"));
        assert!(process.line().is_some());
        process.signal("INT");
        let (rest, code) = process.end();
        assert_eq!((rest.as_str(), code), ("", Some(130)), "{command}");
        router.hear("left ");
    }
    let bench = Process::start(&format!("bench --connect {address} --seconds 50"));
    router.hear("joined ");
    bench.signal("INT");
    // If it had begun, it tells what it has seen.
    assert_eq!(bench.end().1, Some(130));
}

#[test]
fn a_second_signal_ends_the_program_at_once() {
    let _bound = bounded();
    let (frozen, address) = Process::serving("node --id frozen --bind 127.0.0.1:0");
    let mut node = Process::start(&format!("node --connect {address} --interactive"));
    node.hear("ready");
    frozen.signal("STOP");
    node.say("tick frozen message \"it will not confirm this\"");
    node.hear("sent to 1");
    // The end in good order waits for the confirmation. Two signals that come at once may be one to the system, so there are more.
    while !node.has_ended() {
        node.signal("INT");
        thread::park_timeout(Duration::from_millis(20));
    }
    assert_eq!(node.end().1, Some(130));
}

#[test]
fn a_session_is_ended_by_a_signal_while_nobody_types() {
    let _bound = bounded();
    for name in ["INT", "TERM"] {
        let mut node = Process::start("node --interactive --bind 127.0.0.1:0");
        node.hear("ready");
        node.signal(name);
        assert_eq!(node.end().1, Some(0));
    }
}
