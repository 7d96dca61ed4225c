//! Each part of a mesh is killed, as by `kill -9`, and started again: a router on the same port, a service, a client. The other parts stay
//! as they are, and go on.

use crate::exec::{eventually, file, number};
use crate::process::{Process, Watch, bounded, ended, is_alive, program, run, signal, text};
use crate::routers::{counts, routed};

/// A node that is ready.
fn node(line: &str) -> Process {
    let mut node = Process::start(&format!("node {line}"));
    node.hear("ready");
    node
}

/// A service that takes its time: how it is started, and where it writes the number of the program that runs.
fn slow(port: &str, path: &std::path::Path) -> Process {
    let exec = format!("sh -c 'echo $$ > {}; exec sleep 100'", path.display());
    node(&format!("--name slow --id slow --connect {port} --exec \"{exec}\" --on wait"))
}

#[test]
fn a_router_that_was_killed_is_found_again_by_all_who_were_connected() {
    let _bound = bounded();
    let (router, port) = Process::serving("router --id main --bind 127.0.0.1:0");
    let mut auth = node(&format!("--name auth --id auth --connect {port} --events"));
    let mut payment = node(&format!("--name payment --id payment --connect {port} --events"));
    let mut client = node(&format!("--id client --connect {port} --interactive --events"));
    client.say("request auth echo 1");
    assert_eq!(client.hear("auth via main: "), "1");
    // Its drop is a kill.
    drop(router);
    for part in [&mut auth, &mut payment, &mut client] {
        part.hear("left main (the connection was lost)");
    }
    let (_router, again) = Process::serving(&format!("router --id main --bind {port}"));
    assert_eq!(again, port);
    for part in [&mut auth, &mut payment, &mut client] {
        part.hear(&format!("reached main at {port} again"));
    }
    for (name, number) in [("auth", 2), ("payment", 3)] {
        client.say(&format!("request {name} echo {number}"));
        assert_eq!(client.hear(&format!("{name} via main: ")), number.to_string());
    }
    // It counts from its own start.
    assert_eq!(counts(&routed(&port)["proxyRequests"]), (2, 2));
}

#[test]
fn a_router_that_is_killed_under_way_costs_the_client_its_request_and_the_service_its_work() {
    let _bound = bounded();
    let (router, port) = Process::serving("router --id main --bind 127.0.0.1:0");
    let path = file("router-killed");
    let _slow = slow(&port, &path);
    let line = format!("request --connect {port} --service slow --timeout 50 --json wait");
    let caller = program(&line).spawn().expect("the program was built");
    let _watch = Watch::over(&caller);
    let work = number(&path);
    drop(router);
    let output = caller.wait_with_output().expect("a child can be waited for");
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    let said = text(&output.stderr);
    assert!(said.contains("\"code\":\"CONNECTION_LOST\",\"execution\":\"unknown\""), "{said}");
    // Nobody waits for it any more.
    eventually(|| (!is_alive(work)).then_some(()));
}

#[test]
fn a_service_that_was_killed_is_missed_and_its_successor_is_found() {
    let _bound = bounded();
    let (mut router, port) = Process::serving("router --id main --bind 127.0.0.1:0 --events");
    let path = file("service-killed");
    let service = slow(&port, &path);
    let mut client = node(&format!("--id client --connect {port} --interactive --timeout 50"));
    client.say("request slow ping");
    client.hear("slow via main: ");
    let line = format!("request --connect {port} --service slow --timeout 50 --json wait");
    let caller = program(&line).spawn().expect("the program was built");
    let _watch = Watch::over(&caller);
    let work = number(&path);
    drop(service);
    // It ends nothing any more.
    signal("KILL", work);
    router.hear("left slow (the connection was lost)");
    let output = caller.wait_with_output().expect("a child can be waited for");
    assert_eq!(output.status.code(), Some(6), "{output:?}");
    let said = text(&output.stderr);
    assert!(said.contains("\"code\":\"CONNECTION_LOST\",\"execution\":\"unknown\""), "{said}");
    ended(&run(&format!("request --connect {port} --service slow ping")), 3);

    // Whoever waits for a successor finds it.
    let line = format!("request --connect {port} --service slow --wait 30 ping");
    let waits = Process::start(&line);
    router.hear("joined ");
    let _service = slow(&port, &path);
    assert_eq!(waits.end(), ("\"pong\"\n".to_owned(), Some(0)));
    client.say("request slow echo 8");
    assert_eq!(client.hear("slow via main: "), "8");
}

#[test]
fn a_client_that_is_killed_leaves_no_work_behind_and_its_successor_is_served() {
    let _bound = bounded();
    let (_router, port) = Process::serving("router --id main --bind 127.0.0.1:0");
    let path = file("client-killed");
    let _slow = slow(&port, &path);
    let line = format!("--id client --connect {port} --interactive --timeout 50");
    let mut client = node(&line);
    client.say("request slow wait");
    let work = number(&path);
    drop(client);
    // Nobody waits for it any more, and the router says so to the service.
    eventually(|| (!is_alive(work)).then_some(()));
    let failed = || (counts(&routed(&port)["proxyRequests"]) == (1, 0)).then_some(());
    eventually(failed);
    let mut client = node(&line);
    client.say("request slow echo 9");
    assert_eq!(client.hear("slow via main: "), "9");
    assert_eq!(counts(&routed(&port)["proxyRequests"]), (2, 1));
}
