//! What a link still has to announce, options, services, grants and finished ticks, and the pages
//! of the peer's services. An announcement is built from the value at the time of writing, so that
//! a storm of changes costs one message per link and write. It must not send anything.

use std::time::Instant;

use super::credit::Credit;
use crate::config::{SERVICES, SERVICES_BYTES, SERVICES_PAGE_BYTES, TELL_PAUSE};
use crate::options::Options;
use crate::wire::Control;

/// What changes at this node and concerns all its peers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    Options,
    Services,
}

/// What this node announces, as of now, each with its version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Announced<'a> {
    pub(crate) options: (u64, &'a Options),
    pub(crate) services: (u64, &'a [String]),
}

#[derive(Debug)]
#[allow(clippy::struct_excessive_bools)] // Independent notes, each cleared when it is announced.
pub(crate) struct Announcements {
    options: bool,
    services: bool,
    /// Neither is announced again before this.
    not_before: Instant,
    /// When there is more to announce of members, if there is.
    members_at: Option<Instant>,
    /// The peer is to get a report of what its ticks' handlers have finished.
    consumed: bool,
    /// The peer may have more calls open than this node's hello said.
    grant: bool,
    /// Services of an update of the peer that comes in pages, and its version.
    page: (u64, Vec<String>),
}

impl Announcements {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            options: false,
            services: false,
            not_before: now,
            members_at: None,
            consumed: false,
            grant: false,
            page: (0, Vec::new()),
        }
    }

    pub(crate) fn changed(&mut self, change: Change) {
        match change {
            Change::Options => self.options = true,
            Change::Services => self.services = true,
        }
    }

    /// A hello says the options and services of now.
    pub(crate) fn said_in_hello(&mut self) {
        (self.options, self.services) = (false, false);
    }

    pub(crate) fn report_consumed(&mut self) {
        self.consumed = true;
    }

    /// Finished ticks were reported in another message.
    pub(crate) fn consumed_reported(&mut self) {
        self.consumed = false;
    }

    pub(crate) fn report_grant(&mut self) {
        self.grant = true;
    }

    /// When there is more to announce of members, if there is.
    pub(crate) fn members_at(&mut self, at: Option<Instant>) {
        self.members_at = at;
    }

    /// When options or services are to be announced, if they are.
    fn changes_at(&self) -> Option<Instant> {
        (self.options || self.services).then_some(self.not_before)
    }

    /// When there is something to announce, if there is.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.changes_at().into_iter().chain(self.members_at).min()
    }

    /// Whether there is something to announce now.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.consumed || self.grant || self.changes_at().is_some_and(|at| at <= now)
    }

    /// Takes what is to be announced now. `calls` is the number granted to the peer; `max` is to
    /// what size its tick window may grow, if it may.
    pub(crate) fn take(
        &mut self,
        now: Instant,
        local: Announced<'_>,
        credit: &mut Credit,
        calls: u32,
        max: Option<u64>,
    ) -> Vec<Control> {
        let mut controls = Vec::new();
        if std::mem::take(&mut self.grant) {
            controls.push(Control::Grant { tick_window: credit.window(), calls });
        }
        if std::mem::take(&mut self.consumed) {
            let (ticks, cost) = credit.finished();
            controls.push(Control::Consumed { ticks, cost });
            let busy = credit.report(now);
            let grown = max.filter(|_| busy).map_or(0, |max| credit.widen(max));
            if grown > 0 {
                controls.push(Control::Grant { tick_window: credit.window(), calls });
            }
        }
        if self.changes_at().is_some_and(|at| at <= now) {
            self.take_changes(now, local, &mut controls);
        }
        controls
    }

    fn take_changes(&mut self, now: Instant, local: Announced<'_>, controls: &mut Vec<Control>) {
        let before = controls.len();
        if std::mem::take(&mut self.options) {
            let (version, options) = local.options;
            controls.push(Control::Options { version, options: options.clone() });
        }
        if std::mem::take(&mut self.services) {
            let (version, services) = local.services;
            let pages = pages(services);
            let count = pages.len();
            controls.extend(pages.into_iter().enumerate().map(|(index, names)| {
                Control::ServicesChanged { version, last: index + 1 == count, names }
            }));
        }
        self.not_before = now + TELL_PAUSE * (controls.len() - before) as u32;
    }

    /// A page of the peer's services. Returns them all with the last page; `Err` when they are more
    /// than a node may have.
    pub(crate) fn on_page(
        &mut self,
        version: u64,
        last: bool,
        names: Vec<String>,
    ) -> Result<Option<Vec<String>>, &'static str> {
        if self.page.0 != version {
            self.page = (version, Vec::new());
        }
        let page = &mut self.page.1;
        page.extend(names);
        let bytes: usize = page.iter().map(String::len).sum();
        if page.len() > SERVICES || bytes > SERVICES_BYTES {
            return Err("too many services");
        }
        Ok(last.then(|| std::mem::take(&mut self.page).1))
    }
}

/// Services in pages that fit a handshake frame; at least one page, which may be empty.
pub(crate) fn pages(services: &[String]) -> Vec<Vec<String>> {
    let mut pages = vec![Vec::new()];
    let mut bytes = 0;
    for name in services {
        bytes += name.len() + 3;
        if bytes > SERVICES_PAGE_BYTES {
            pages.push(Vec::new());
            bytes = name.len() + 3;
        }
        if let Some(page) = pages.last_mut() {
            page.push(name.clone());
        }
    }
    pages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(
        announce: &mut Announcements,
        now: Instant,
        credit: &mut Credit,
        max: Option<u64>,
    ) -> Vec<Control> {
        let (options, services) = (Options::default(), ["a".to_owned()]);
        let local = Announced { options: (3, &options), services: (4, &services) };
        announce.take(now, local, credit, 9, max)
    }

    #[test]
    fn changes_are_announced_once_with_the_newest_value_and_then_paced() {
        let now = Instant::now();
        let mut announce = Announcements::new(now);
        let mut credit = Credit::new(1_000, now);
        announce.changed(Change::Options);
        announce.changed(Change::Options);
        assert_eq!(announce.next_at(), Some(now));
        let controls = take(&mut announce, now, &mut credit, None);
        assert!(matches!(controls[..], [Control::Options { version: 3, .. }]), "{controls:?}");
        announce.changed(Change::Services);
        assert!(!announce.is_due(now));
        assert!(take(&mut announce, now, &mut credit, None).is_empty());
        let later = announce.next_at().expect("a change");
        assert_eq!(later, now + TELL_PAUSE);
        let controls = take(&mut announce, later, &mut credit, None);
        assert!(matches!(controls[..], [Control::ServicesChanged { version: 4, last: true, .. }]));
        assert_eq!(announce.next_at(), None);
    }

    #[test]
    fn a_report_of_a_busy_link_widens_its_window() {
        let now = Instant::now();
        let mut announce = Announcements::new(now);
        let mut credit = Credit::new(256, now);
        credit.receive(200);
        credit.finish(1, 200);
        announce.report_consumed();
        assert!(announce.is_due(now));
        let controls = take(&mut announce, now, &mut credit, Some(400));
        assert!(
            matches!(
                controls[..],
                [
                    Control::Consumed { ticks: 1, cost: 200 },
                    Control::Grant { tick_window: 400, calls: 9 }
                ]
            ),
            "{controls:?}"
        );
        assert!(!announce.is_due(now));
    }

    #[test]
    fn pages_of_services_are_put_together_by_version_and_bounded() {
        let now = Instant::now();
        let mut announce = Announcements::new(now);
        let name = |text: &str| vec![text.to_owned()];
        assert_eq!(announce.on_page(1, false, name("old")), Ok(None));
        assert_eq!(announce.on_page(2, false, name("a")), Ok(None));
        assert_eq!(
            announce.on_page(2, true, name("b")),
            Ok(Some(["a", "b"].map(str::to_owned).into()))
        );
        let many = vec![String::new(); SERVICES + 1];
        assert!(announce.on_page(3, true, many).is_err());
    }

    #[test]
    fn services_fill_pages_up_to_the_bound_of_a_page() {
        assert_eq!(pages(&[]), [Vec::<String>::new()]);
        let name = "x".repeat(SERVICES_PAGE_BYTES / 2);
        let sizes: Vec<usize> =
            pages(&[name.clone(), name.clone(), name]).iter().map(Vec::len).collect();
        assert_eq!(sizes, [1, 1, 1]);
    }
}
