//! The member that starts the others, and looks whether all is as it should be.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use threadmesh::{Node, NodeEvent, Request, SendToAll};

use crate::Outcome;
use crate::member::{known, start};
use crate::process::Process;

const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn run() -> Outcome<()> {
    // The list that all share. In earnest it stands in a configuration; here it is made of ports that are free.
    let free = [0; 4].map(|port| TcpListener::bind(("127.0.0.1", port)));
    let place = |free: std::io::Result<TcpListener>| Ok(free?.local_addr()?.to_string());
    let list: Vec<String> = free.into_iter().map(place).collect::<Outcome<_>>()?;
    let seeds: Vec<&str> = list.iter().map(String::as_str).collect();
    let other = |id, own| Process::start(&[&["--member", id, own], seeds.as_slice()].concat());

    // The last of the list is the first to start, the first of the list is the last.
    let dora = other("dora", seeds[3])?;
    let carl = other("carl", seeds[2])?;
    let anna = start("anna", seeds[0], &seeds)?;
    let _bert = other("bert", seeds[1])?;
    let others = ["bert", "carl", "dora"];
    for id in others {
        anna.wait_for_peer(id, PATIENCE)?;
    }
    for id in others {
        until_known(&anna, id, &["anna", "bert", "carl", "dora"])?;
    }
    expect("all that serve /name", &names(&anna)?, &["anna", "bert", "carl", "dora"])?;

    // All others are told of a new service, and may call it.
    anna.register("/late", |_: Request<()>| Ok("from anna"))?;
    for id in others {
        let answer: String = anna.request(id, "try", "/late")?;
        expect("the answer at /late", &[answer], &["from anna"])?;
    }

    let mut events = anna.events();
    for (gone, leaves) in [(dora, true), (carl, false)] {
        let end = if leaves { Process::end } else { Process::kill };
        end(gone)?;
        let left = std::iter::from_fn(|| events.next_timeout(PATIENCE)).find_map(|event| {
            let NodeEvent::PeerLeft { id, reason, .. } = event else { return None };
            Some(format!("{id} is gone: {reason:?}"))
        });
        println!("{}", left.ok_or("nobody has left")?);
    }
    // The two that are left know that the others are gone, and a call goes to who is there.
    until_known(&anna, "bert", &["anna", "bert"])?;
    expect("those who serve /name still", &names(&anna)?, &["anna", "bert"])
}

/// The answers of all that serve `/name`, this node among them.
fn names(node: &Node) -> Outcome<Vec<String>> {
    let answers = node.call("/name").by(SendToAll).request_all::<String>(&())?;
    let mut names: Vec<String> = answers.into_iter().filter_map(|(_, name)| name.ok()).collect();
    names.sort();
    Ok(names)
}

/// Asks one of the others whom it knows, until these are all; and this one knows the same.
fn until_known(node: &Node, id: &str, all: &[&str]) -> Outcome<()> {
    let end = Instant::now() + PATIENCE;
    let mut seen: Vec<String> = node.request(id, "known", &())?;
    while seen != all && Instant::now() < end {
        seen = node.request(id, "known", &())?;
    }
    expect(&format!("the members that {id} knows"), &seen, all)?;
    expect("the members known here", &known(node), all)
}

fn expect(what: &str, is: &[String], should: &[&str]) -> Outcome<()> {
    if is == should { Ok(()) } else { Err(format!("{what}: {is:?}, not {should:?}").into()) }
}
