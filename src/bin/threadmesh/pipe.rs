//! Tells when nobody reads standard output any more, for commands that may print nothing for a long time. Where the system does not
//! tell, the next line finds out.

/// Does this once nobody reads standard output any more, if that is a pipe.
#[cfg(unix)]
pub(crate) fn when_unread(task: impl FnOnce() + Send + 'static) {
    // Only a convenience: without the thread, the next line finds out.
    let _ = std::thread::Builder::new().name("stdout".into()).spawn(|| {
        if wait().is_ok() {
            task();
        }
    });
}

/// Waits until nobody reads. Fails at once for files, and whatever else cannot be waited for.
#[cfg(unix)]
fn wait() -> std::io::Result<()> {
    use mio::unix::SourceFd;
    use mio::{Events, Interest, Poll, Token};
    use std::os::fd::AsRawFd as _;

    let (mut poll, mut events) = (Poll::new()?, Events::with_capacity(1));
    let output = std::io::stdout().as_raw_fd();
    poll.registry().register(&mut SourceFd(&output), Token(0), Interest::WRITABLE)?;
    loop {
        match poll.poll(&mut events, None) {
            Err(why) if why.kind() != std::io::ErrorKind::Interrupted => return Err(why),
            _ if events.iter().any(mio::event::Event::is_write_closed) => return Ok(()),
            _ => {}
        }
    }
}

/// Not told here.
#[cfg(not(unix))]
pub(crate) fn when_unread(_: impl FnOnce() + Send + 'static) {}
