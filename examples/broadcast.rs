//! One message to everybody who matches: all servers read their configuration again, and the sender learns who was told, who was
//! skipped, and when all are done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crossbeam_channel::{bounded, unbounded};
use threadmesh::{ErrorKind, Limits, Node, Tick, filter, options};

const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let admin = Node::builder().id("admin").bind("127.0.0.1:0").start()?;
    let monitor = Node::builder().id("monitor").options(options! { "role": "monitor" });
    let (noted, notes) = unbounded();
    let monitor = monitor.bind("127.0.0.1:0").start()?;
    monitor.on_tick("status", move |tick: Tick<String>| {
        // Nobody reads the notes any more once the example has ended.
        let _ = noted.send(tick.data);
    })?;
    admin.connect(monitor.local_addr()?)?;

    // Three servers dial the admin. Each works with some version of the configuration.
    let mut servers = Vec::new();
    for number in 1..=3 {
        let version = Arc::new(AtomicU64::new(1));
        let current = Arc::clone(&version);
        let server = Node::builder()
            .id(format!("server-{number}"))
            .options(options! { "role": "api-server" })
            .on_tick("config:reload", move |tick: Tick<u64>| current.store(tick.data, Relaxed))
            .start()?;
        server.connect(admin.local_addr()?)?;
        servers.push((server, version));
    }

    // Ok means sent. The flush waits until the handlers everywhere are done with it.
    let api_servers = filter! { "role": "api-server" };
    let told = admin.tick_all(&api_servers, "config:reload", &5)?;
    assert_eq!((told.sent, told.skipped.len()), (3, 0));
    admin.flush_all(PATIENCE)?;
    assert!(servers.iter().all(|(_, version)| version.load(Relaxed) == 5));

    // In one direction only: upstream is the monitor that the admin dialled, downstream are the servers that dialled the admin.
    assert_eq!(admin.tick_up_all(filter! {}, "status", "reloaded")?.sent, 1);
    assert_eq!(notes.recv_timeout(PATIENCE)?, "reloaded");
    assert_eq!(admin.tick_down_all(filter! {}, "config:reload", &6)?.sent, 3);
    // Nobody is fine, too: a broadcast is for those who are there.
    assert_eq!(admin.tick_all(filter! { "role": "printer" }, "config:reload", &6)?.sent, 0);

    // A fourth server is stuck in a handler and grants a small window, which is soon full.
    let mut limits = Limits::default();
    (limits.tick_window_bytes, limits.tick_window_most_bytes) = (4_096, 4_096);
    let (release, released) = bounded::<()>(0);
    let stuck = Node::builder()
        .id("stuck")
        .options(options! { "role": "api-server" })
        .limits(limits)
        .on_tick("config:reload", move |_: Tick<u64>| {
            let _ = released.recv();
        })
        .start()?;
    stuck.connect(admin.local_addr()?)?;
    let some = admin.to("stuck").ticks("config:reload", 0..10_000_u64);
    println!("the stuck server took {} ticks", some.accepted);

    // It is skipped, and named. It does not keep the others from being told.
    let told = admin.tick_all(&api_servers, "config:reload", &7)?;
    let (who, why) = &told.skipped[0];
    println!("{} were told; {who} was skipped: {why}", told.sent);
    assert_eq!((told.sent, who.as_str(), why.kind()), (3, "stuck", ErrorKind::Backpressure));
    for (server, version) in &servers {
        admin.flush(server.id(), PATIENCE)?;
        assert_eq!(version.load(Relaxed), 7);
    }
    drop(release);
    Ok(())
}
