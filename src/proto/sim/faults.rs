//! What goes wrong in a run: each seed draws some kinds of fault and how often they strike. It must not know engines.

use std::time::Duration;

use super::link::Conditions;

/// One way in which the world is unkind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Fault {
    /// A read returns fewer bytes than are there.
    Chunk,
    /// The kernel takes fewer bytes than it has room for.
    Partial,
    /// The path becomes slow to answer.
    Delay,
    /// The path becomes narrow.
    Narrow,
    /// Nothing moves for a while.
    Freeze,
    /// Nothing moves one way for a while.
    FreezeWay,
    /// Both ends lose each other; some of what was under way arrives.
    Cut,
    /// Both ends are told at once, and what was under way is lost.
    Reset,
    /// A dial is refused.
    Refuse,
    /// A dial is never answered.
    Swallow,
    /// A dial succeeds and the connection breaks at once.
    AcceptThenCut,
    /// A node takes no turn for a while.
    Suspend,
    /// A node is killed.
    Crash,
}

impl Fault {
    pub(super) const ALL: &'static [Fault] = &[
        Fault::Chunk,
        Fault::Partial,
        Fault::Delay,
        Fault::Narrow,
        Fault::Freeze,
        Fault::FreezeWay,
        Fault::Cut,
        Fault::Reset,
        Fault::Refuse,
        Fault::Swallow,
        Fault::AcceptThenCut,
        Fault::Suspend,
        Fault::Crash,
    ];

    /// Those that can strike a link in any state.
    pub(super) const STRIKING: &'static [Fault] = &[
        Fault::Delay,
        Fault::Narrow,
        Fault::Freeze,
        Fault::FreezeWay,
        Fault::Cut,
        Fault::Reset,
        Fault::Suspend,
        Fault::Crash,
    ];
}

/// Which faults a run has, and how often each strikes.
#[derive(Clone, Debug)]
pub(super) struct Swarm {
    rates: Vec<(Fault, f64)>,
    /// The longest time a fault that passes lasts.
    pub(super) lasts: Duration,
    /// What paths are like when nothing is wrong with them.
    pub(super) usual: Conditions,
}

impl Swarm {
    /// A kind world.
    pub(super) fn none() -> Self {
        Self { rates: Vec::new(), lasts: Duration::ZERO, usual: Conditions::GOOD }
    }

    /// Half of the kinds or fewer, each with a rate of its own, so that no fault always hides behind another.
    pub(super) fn draw(rng: &mut fastrand::Rng) -> Self {
        let share = rng.f64() * 0.6;
        let mut rates = Vec::new();
        for fault in Fault::ALL {
            if rng.f64() < share {
                rates.push((*fault, rng.f64().powi(2) * usual_rate(*fault)));
            }
        }
        let lasts = Duration::from_millis(rng.u64(20..3_000));
        Self { rates, lasts, usual: any_conditions(rng) }
    }

    /// Whether `fault` strikes at this rare opportunity: always, if the run has it at all.
    pub(super) fn seizes(&self, fault: Fault) -> bool {
        self.rates.iter().any(|(kind, _)| *kind == fault)
    }

    /// Whether `fault` strikes at this opportunity.
    pub(super) fn strikes(&self, fault: Fault, rng: &mut fastrand::Rng) -> bool {
        let rate = self.rates.iter().find(|(kind, _)| *kind == fault);
        rate.is_some_and(|(_, rate)| rng.f64() < *rate)
    }

    pub(super) fn lasting(&self, rng: &mut fastrand::Rng) -> Duration {
        Duration::from_micros(rng.u64(..=self.lasts.as_micros() as u64))
    }

    /// Reads and writes in pieces go on while everything else heals: they are no faults of the path.
    pub(super) fn heal(&mut self) {
        self.rates.retain(|(fault, _)| matches!(fault, Fault::Chunk | Fault::Partial));
        self.usual = Conditions::GOOD;
    }
}

/// The highest rate at one opportunity: a read, a write, a dial, or a link that has changed its state.
fn usual_rate(fault: Fault) -> f64 {
    match fault {
        Fault::Chunk | Fault::Partial => 1.0,
        Fault::Delay | Fault::Narrow => 0.3,
        Fault::Freeze | Fault::FreezeWay | Fault::Cut | Fault::Reset => 0.2,
        Fault::Refuse | Fault::Swallow | Fault::AcceptThenCut => 0.5,
        Fault::Suspend => 0.1,
        Fault::Crash => 0.15,
    }
}

pub(super) fn any_conditions(rng: &mut fastrand::Rng) -> Conditions {
    Conditions {
        delay: Duration::from_micros(rng.u64(10..20_000)),
        rate: None,
        send_room: 1 << rng.u32(9..19),
        receive_room: 1 << rng.u32(9..19),
    }
}

/// A path that takes long.
pub(super) fn delayed(usual: Conditions, rng: &mut fastrand::Rng) -> Conditions {
    Conditions { delay: Duration::from_millis(rng.u64(20..150)), ..usual }
}

/// A path that carries little: a segment still passes well within any liveness timeout of the script.
pub(super) fn narrow(usual: Conditions, rng: &mut fastrand::Rng) -> Conditions {
    Conditions { rate: Some(rng.u64(300_000..3_000_000)), ..usual }
}
