//! The four command lines that the project began with, as far as they need no forwarding: a router, two services, and a client that talks
//! with the router and sees the services behind it.

use crate::process::{Process, bounded};

#[test]
fn a_router_two_services_and_a_client_find_each_other() {
    let _bound = bounded();
    // The port of the original is 8087; a test takes one that is free.
    let (_router, port) = Process::serving("--router --id main --bind tcp://127.0.0.1:0");
    let service = |name| {
        let mut service = Process::start(&format!("--node --name {name} --connect tcp://{port}"));
        assert!(service.hear("connected to ").starts_with("main at "));
        service.hear("ready");
        service
    };
    let (auth, payment) = (service("auth"), service("payment"));
    let line = format!("--node --name client --connect tcp://{port} --interactive");
    let mut client = Process::start(&line);
    client.hear("ready");
    client.say("request main echo {\"hello\": 1}");
    assert_eq!(client.hear("main: "), "{\"hello\":1}");
    client.say("list");
    client.hear("main up ");
    let mut behind = [client.line().unwrap(), client.line().unwrap()];
    behind.sort();
    for (line, (name, process)) in behind.iter().zip([("auth", &auth), ("payment", &payment)]) {
        assert!(line.starts_with(&format!("{name}-{} down 127.0.0.1:", process.id())), "{line}");
        assert!(line.ends_with(&format!("\"service\":\"{name}\"}} via main")), "{line}");
    }
    client.say("exit");
    assert_eq!(client.end(), (String::new(), Some(0)));
}
