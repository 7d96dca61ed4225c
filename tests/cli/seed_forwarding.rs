//! The four command lines that the project began with, and what they are for: a client calls services that only the router knows.

use crate::process::{Process, bounded, ended, run, text};

#[test]
fn a_client_calls_services_through_the_router_that_all_have_connected_to() {
    let _bound = bounded();
    let (_router, port) = Process::serving("--router --id main --bind tcp://127.0.0.1:0");
    let service = |name| {
        let mut service = Process::start(&format!("--node --name {name} --connect tcp://{port}"));
        service.hear("ready");
        service
    };
    let (mut auth, payment) = (service("auth"), service("payment"));
    let line = format!("--node --name client --connect tcp://{port} --interactive");
    let mut client = Process::start(&line);
    client.hear("ready");
    client.say("request payment echo {\"amount\": 100}");
    let answer = client.hear(&format!("payment-{} via main: ", payment.id()));
    assert_eq!(answer, "{\"amount\":100}");
    client.say("send auth hello");
    assert_eq!(client.hear("said to "), format!("auth-{} via main", auth.id()));
    assert_eq!(auth.hear(&format!("client-{} says: ", client.id())), "hello");

    let output = run(&format!("request --connect {port} --service auth --json echo 7"));
    let said = ended(&output, 0);
    assert!(said.contains(&format!("\"handled_by\":\"auth-{}\"", auth.id())), "{said}");
    assert!(said.contains("\"via\":\"main\""), "{said}");
    let output = run(&format!("request --connect {port} --service rare ping"));
    assert_eq!(ended(&output, 3), "");
    assert!(text(&output.stderr).contains("NO_NODES_MATCH_FILTER"), "{output:?}");
}
