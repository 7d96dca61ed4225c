//! Handlers between real nodes: what they see, how they pass on, fail, answer later and are taken away.

use std::sync::mpsc::channel;
use std::time::Duration;

use threadmesh::{Endpoint, ErrorKind};

use crate::support::{SOON, bounded, builder, joined};

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn an_endpoint_names_an_event_with_its_types_on_both_sides() {
    const HALF: Endpoint<u64, Option<u64>> = Endpoint::new("half*");
    const NOTE: Endpoint<String> = Endpoint::new("note");
    bounded("endpoints", LIMIT, || {
        let (tell, told) = channel();
        let server = builder("s")
            .on_request(HALF, |request| Ok((request.data % 2 == 0).then_some(request.data / 2)))
            .on_tick(NOTE, move |tick| tell.send(tick.data).unwrap())
            .bind("127.0.0.1:0")
            .start()
            .unwrap();
        let client = joined("c", &server);

        assert_eq!(client.request("s", HALF, &8).unwrap(), Some(4));
        assert_eq!(client.to("s").start(HALF, &7).unwrap().wait().unwrap().value, None);
        client.tick("s", NOTE, &"it rains".to_owned()).unwrap();
        assert_eq!(client.to("s").ticks(NOTE, ["still".to_owned()]).accepted, 1);
        assert_eq!(
            [told.recv_timeout(SOON), told.recv_timeout(SOON)].map(Result::unwrap),
            ["it rains", "still"]
        );

        // Its name is exact, also with a star in it, and removes what it has registered.
        let error = client.request::<(), _>("s", "half-way", &8).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoHandler);
        assert_eq!(server.off("half*").unwrap(), 0);
        assert_eq!(server.off(HALF).unwrap(), 1);
        assert_eq!(client.request("s", HALF, &8).unwrap_err().kind(), ErrorKind::NoHandler);
    });
}
