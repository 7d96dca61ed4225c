//! A router between services and a client that know nothing of each other: whom it finds, what it tells, and what it counts.

use std::time::Duration;

use threadmesh::{Error, HandlerError, Node, Request, Router, filter, options, predicate};

fn main() -> Result<(), Error> {
    let router = Router::builder().id("main-router").bind("127.0.0.1:0").start()?;
    let address = router.local_addr()?;

    // Services dial the router; they need not listen. Handlers are there before the link is.
    let auth = Node::builder()
        .id("auth-service")
        .options(options! { "role": "auth", "version": 2, "load": 10 })
        .on_request("auth:login", |request: Request<String>| {
            // The router passed it on, and somebody else asked.
            assert_eq!(
                (request.sender().as_str(), request.origin().as_str()),
                ("main-router", "api-client")
            );
            Ok(format!("token for {}", request.data))
        })
        .start()?;
    auth.connect(address)?;
    let payment = Node::builder()
        .id("payment-service")
        .options(options! { "role": "payment", "load": 70 })
        .on_request("payment:charge", |request: Request<u64>| match request.data {
            0 => Err(HandlerError::new("NOTHING_TO_CHARGE", "the amount is zero")),
            amount => Ok(amount * 100),
        })
        .start()?;
    payment.connect(address)?;

    // The client knows one address. It asks for what it needs, not for who has it.
    let client = Node::builder().id("api-client").start()?;
    client.connect(address)?;
    let login =
        client.any(filter! { "role": "auth" }).request_reply::<String, _>("auth:login", "ada")?;
    println!("{} (by {}, via {:?})", login.value, login.handled_by, login.via);
    assert_eq!(
        (login.handled_by.as_str(), login.via.unwrap().as_str()),
        ("auth-service", "main-router")
    );
    let cents: u64 = client.request_any(filter! { "role": "payment" }, "payment:charge", &12)?;
    assert_eq!(cents, 1_200);

    // An error of the service comes back as it was.
    let refused =
        client.request_any::<u64, _>(filter! { "role": "payment" }, "payment:charge", &0_u64);
    assert_eq!(refused.unwrap_err().code(), "NOTHING_TO_CHARGE");

    // A closure cannot travel. So the router says who is there, the closure chooses here, and the message goes to that one.
    let idle = predicate(|options| options.get_u64("load").is_some_and(|load| load < 50));
    let reply = client.any(idle).request_reply::<String, _>("auth:login", "bob")?;
    assert_eq!(reply.handled_by, "auth-service");

    // By id only if the call says so: otherwise an id means somebody who is connected.
    let by_id = client.to("payment-service").request::<u64, _>("payment:charge", &1);
    assert_eq!(by_id.unwrap_err().code(), "NODE_NOT_FOUND");
    let cents: u64 = client.to("payment-service").via_router().request("payment:charge", &1)?;
    assert_eq!(cents, 100);

    // Nobody: told at once, with the routers that were asked. A call that must not leave its own links says so.
    let nobody = client.any(filter! { "role": "mars" }).request::<(), _>("dig", &());
    let error = nobody.unwrap_err();
    println!("{error}");
    assert_eq!(
        (error.code(), error.context("routers")),
        ("NO_NODES_MATCH_FILTER", Some("main-router"))
    );
    let local = client.any(filter! { "role": "auth" }).local_only();
    assert_eq!(
        local.request::<String, _>("auth:login", "eve").unwrap_err().code(),
        "NO_NODES_MATCH_FILTER"
    );

    // A tick goes the same way.
    client.tick_any(filter! { "role": "auth" }, "auth:forget", "ada")?;
    client.flush("main-router", Duration::from_secs(5))?;

    let stats = router.routing_stats()?;
    println!("{stats}");
    assert_eq!((stats.proxy_requests.successful, stats.proxy_requests.failed), (4, 2));
    assert_eq!(stats.proxy_ticks.total, 1);
    Ok(())
}
