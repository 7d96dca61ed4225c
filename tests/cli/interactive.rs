//! `node --interactive` over a pipe, as a script drives it.

use crate::process::{Process, bounded, ended, run_with, text};

/// A node to talk with, and the command of a session with it.
fn session() -> (Process, String) {
    let (node, address) = Process::serving("node --id friend --name worker --bind 127.0.0.1:0");
    (node, format!("node --id me --connect {address} --interactive"))
}

#[test]
fn a_session_does_what_its_lines_say() {
    let _bound = bounded();
    let (mut friend, me) = session();
    let lines = "
        list
        send worker  hello there
        request friend echo {\"a\": [1, 2]}
        request {\"service\": \"worker\"} ping
        request any ping
        tick friend message \"by tick\"
        exit
        request any this is not read any more
    ";
    let output = run_with(&me, lines);
    let said = ended(&output, 0);
    let (began, rest) = said.split_once("ready\n").expect("it says that it is ready");
    assert!(
        began.starts_with("node me started\nconnected to friend at tcp://127.0.0.1:"),
        "{began}"
    );
    let lines: Vec<&str> = rest.lines().collect();
    assert!(lines[0].starts_with("friend up 127.0.0.1:"), "{rest}");
    assert_eq!(
        lines[1..],
        [
            "said to friend",
            "friend: {\"a\":[1,2]}",
            "friend: \"pong\"",
            "friend: \"pong\"",
            "sent to 1"
        ]
    );
    assert_eq!(friend.hear("me says: "), "hello there");
    assert_eq!(friend.hear("me says: "), "by tick");
}

#[test]
fn what_others_say_is_shown_while_nobody_types() {
    let _bound = bounded();
    let (mut friend, address) =
        Process::serving("node --id friend --bind 127.0.0.1:0 --interactive");
    let mut me = Process::start(&format!("node --id me --connect {address} --interactive --json"));
    me.hear("{\"id\":\"me\",\"type\":\"ready\"}");
    friend.say("send me hello");
    assert_eq!(me.line().unwrap(), r#"{"data":"hello","from":"friend","type":"message"}"#);
    assert_eq!(friend.hear("said to "), "me");
    me.say("request friend echo 7");
    let answer = me.line().unwrap();
    assert!(
        answer.contains(r#""handled_by":"friend","type":"answer","value":7,"via":null"#),
        "{answer}"
    );
    me.say("exit");
    assert_eq!(me.end().1, Some(0));
}

#[test]
fn a_line_that_fails_is_told_and_the_first_of_them_decides_how_the_session_ends() {
    let _bound = bounded();
    let (_friend, me) = session();
    let output = run_with(&me, "dance\nrequest nobody ping\nrequest friend ping\n");
    assert!(ended(&output, 2).ends_with("friend: \"pong\"\n"));
    let errors: Vec<&str> = text(&output.stderr).lines().collect();
    assert!(
        errors[0].starts_with("threadmesh: USAGE: there is no command \"dance\""),
        "{errors:?}"
    );
    assert!(errors[1].starts_with("threadmesh: NO_NODES_MATCH_FILTER: "), "{errors:?}");
    let output = run_with(&format!("{me} --json"), "request nobody ping");
    ended(&output, 3);
    assert!(text(&output.stderr).starts_with(r#"{"error":{"code":"NO_NODES_MATCH_FILTER","#));
}
