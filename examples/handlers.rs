//! Handlers in one chain: one looks first and passes on, one answers later from another thread, one recovers from errors. And an
//! endpoint, whose types the compiler checks on both sides.

use std::sync::mpsc::channel;
use std::thread;

use serde::{Deserialize, Serialize};
use threadmesh::{Endpoint, ErrorKind, HandlerError, Node, Outcome, Payload, Request, Responder};

#[derive(Serialize, Deserialize)]
struct Order {
    item: String,
    pieces: u32,
}

/// What both sides share: the name, the type of the data, the type of the answer.
const ORDER: Endpoint<Order, u32> = Endpoint::new("shop:order");

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let shop = Node::builder().id("shop").bind("127.0.0.1:0").start()?;

    // Asked first, because it was registered first. It changes what those behind it see, or refuses.
    shop.on_request(ORDER, |request| -> Result<Outcome<u32>, HandlerError> {
        let Order { item, pieces } = request.data;
        match pieces {
            0 => Err(HandlerError::new("NOTHING", format!("no {item} at all?"))),
            _ => Outcome::next_with(&Order { item: item.to_lowercase(), pieces }),
        }
    })?;

    // Answers later: the till does that, on a thread of its own, and no worker waits for it.
    let (to_till, orders) = channel::<(Order, Responder<u32>)>();
    thread::Builder::new().name("till".into()).spawn(move || {
        for (order, responder) in orders {
            match order.item.as_str() {
                "tea" => responder.reply(order.pieces * 3),
                other => responder.fail(HandlerError::new("SOLD_OUT", other)),
            };
        }
    })?;
    let till = shop.on_request(ORDER, move |request| {
        let to_till = to_till.clone();
        Outcome::later(move |responder| drop(to_till.send((request.data, responder))))
    })?;

    // Asked only about errors of those before it. It answers one of them, and passes on what it cannot help.
    shop.on_error("shop:*", |error, request: Request<Payload>| {
        println!("{} asked: {error}", request.sender());
        if error.code() == "NOTHING" { Ok(0) } else { Err(error) }
    })?;

    let client = Node::builder().id("ada").start()?;
    client.connect(shop.local_addr()?)?;
    let order = |item: &str, pieces| {
        client.request("shop", ORDER, &Order { item: item.to_owned(), pieces })
    };
    assert_eq!(order("Tea", 2)?, 6);
    assert_eq!(order("Coffee", 1).unwrap_err().code(), "SOLD_OUT");
    assert_eq!(order("Tea", 0)?, 0);

    // Without the till, everybody who is left passes on.
    assert!(till.remove());
    assert_eq!(order("Tea", 2).unwrap_err().kind(), ErrorKind::NoReply);
    // By its name, everything that was registered for it goes.
    shop.off(ORDER)?;
    assert_eq!(order("Tea", 2).unwrap_err().kind(), ErrorKind::NoHandler);
    println!("all answers were as expected");
    Ok(())
}
