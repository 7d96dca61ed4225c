//! Workers: when they are added, when they end, what they take, how they stop.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded, unbounded};

use crate::config::{Limits, WORKERS_RUNNING};
use crate::error::{ErrorKind, Execution};
use crate::payload::Bytes;
use crate::proto::{Answer, Work};
use crate::service::fake::{Fake, PATIENCE, assert_fault, limits, reply, taken, tick};
use crate::service::{Request, Tick, blocking};

/// Registers `hold`: says that it runs, then does not return before a message or the end of the returned sender, and tells nobody
/// that it waits.
fn hold(fake: &Fake) -> (Receiver<()>, crossbeam_channel::Sender<()>) {
    let (running, is_running) = unbounded();
    let (release, is_released) = unbounded::<()>();
    let holds = move |_: Request<()>| {
        running.send(()).map_err(|_| "gone")?;
        let _ = is_released.recv_timeout(PATIENCE);
        Ok(())
    };
    fake.service.on_request("hold", holds).unwrap();
    (is_running, release)
}

fn wait(running: &Receiver<()>, times: usize) {
    for _ in 0..times {
        running.recv_timeout(PATIENCE).expect("a handler runs");
    }
}

fn all_done(answers: &[Receiver<Answer>]) {
    for answer in answers {
        reply::<()>(taken(answer));
    }
}

// covers P26
#[test]
fn sixty_four_handlers_that_call_back_complete_with_at_most_sixty_six_workers() {
    let _bound = crate::bound::bound();
    let fake = Fake::new(&limits(2, 256));
    let (all_here, is_here) = (Arc::new(std::sync::Barrier::new(64)), fake.clone());
    // All 64 hold a worker at once before any of the nested calls is made.
    let outer = move |req: Request<u32>| {
        blocking(|| all_here.wait());
        Ok(reply::<u32>(is_here.call("inner", &req.data)))
    };
    fake.service.on_request("outer", outer).unwrap();
    fake.service.on_request("inner", |req: Request<u32>| Ok(req.data * 2)).unwrap();
    let (batch, answers): (Vec<_>, Vec<_>) = (0..64_u32).map(|n| fake.request("outer", &n)).unzip();
    fake.deliver(batch);
    for (n, answer) in (0..).zip(&answers) {
        assert_eq!(reply::<u32>(taken(answer)), n * 2);
    }
    let most = fake.service.stats().pool.most;
    assert!(most <= 66, "{most} workers");
    fake.service.stop(Instant::now() + PATIENCE);
}

#[test]
fn a_hundred_thousand_short_jobs_never_raise_the_pool_above_its_minimum() {
    let _bound = crate::bound::bound();
    // A machine that runs neither worker for some time looks like one whose workers are stuck; so it may try three times.
    let most: Vec<usize> =
        (0..3).map(|_| workers_for_short_jobs()).take_while(|n| *n != 2).collect();
    assert!(most.len() < 3, "{most:?} workers");
}

/// The most workers there were for a hundred thousand short jobs.
fn workers_for_short_jobs() -> usize {
    let fake = Fake::new(&limits(2, 256));
    let work = |_: Request<()>| {
        let until = Instant::now() + Duration::from_micros(10);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        Ok(())
    };
    fake.service.on_request("work", work).unwrap();
    for _ in 0..100 {
        let (batch, answers): (Vec<_>, Vec<_>) =
            (0..1_000).map(|_| fake.request("work", &())).unzip();
        fake.deliver(batch);
        all_done(&answers);
    }
    fake.service.stats().pool.most
}

#[test]
fn workers_stuck_in_user_code_are_relieved_without_another_message() {
    let _bound = crate::bound::bound();
    let fake = Fake::new(&limits(2, 256));
    let (running, release) = hold(&fake);
    let (batch, answers): (Vec<_>, Vec<_>) = (0..5).map(|_| fake.request("hold", &())).unzip();
    fake.deliver(batch);
    wait(&running, 5);
    assert_eq!(fake.service.stats().pool.workers, 5);
    drop(release);
    all_done(&answers);
}

#[test]
fn workers_up_to_the_limit_are_started_and_one_more_is_not() {
    let _bound = crate::bound::bound();
    for (jobs, workers) in [(2, 2), (3, 3), (4, 3)] {
        let fake = Fake::new(&limits(1, 3));
        let (running, release) = hold(&fake);
        let (batch, answers): (Vec<_>, Vec<_>) =
            (0..jobs).map(|_| fake.request("hold", &())).unzip();
        fake.deliver(batch);
        wait(&running, workers);
        // Many times as long as it takes until a worker is added.
        assert!(running.recv_timeout(Duration::from_millis(60)).is_err());
        let pool = fake.service.stats().pool;
        assert_eq!((pool.most, pool.queued), (workers, jobs - workers));
        drop(release);
        all_done(&answers);
    }
}

#[test]
fn no_more_than_sixty_four_workers_are_started_for_running_ones() {
    let _bound = crate::bound::bound();
    let fake = Fake::new(&limits(2, 256));
    let (running, release) = hold(&fake);
    let (batch, answers): (Vec<_>, Vec<_>) =
        (0..=WORKERS_RUNNING).map(|_| fake.request("hold", &())).unzip();
    fake.deliver(batch);
    wait(&running, WORKERS_RUNNING);
    assert!(running.recv_timeout(Duration::from_millis(60)).is_err());
    assert_eq!(fake.service.stats().pool.workers, WORKERS_RUNNING);
    drop(release);
    all_done(&answers);
}

#[test]
fn three_hundred_rings_between_two_small_pools_all_end() {
    let _bound = crate::bound::bound();
    let (a, b) = (Fake::new(&limits(2, 16)), Fake::new(&limits(2, 16)));
    for (here, there) in [(&a, &b), (&b, &a)] {
        let other = Arc::downgrade(&there.service);
        let engine = there.engine.clone();
        let ring = move |req: Request<u32>| {
            if req.data == 0 {
                return Ok(true);
            }
            let service = other.upgrade().ok_or("gone")?;
            let other = Fake { service, engine: engine.clone() };
            match other.call("ring", &(req.data - 1)) {
                Answer::Reply(_) => Ok(true),
                Answer::Fault(error) if error.kind() == ErrorKind::Busy => Ok(false),
                _ => Err("neither answered nor busy")?,
            }
        };
        here.service.on_request("ring", ring).unwrap();
    }
    let begun = Instant::now();
    let answers: Vec<_> = (0..300).map(|n| b.ask("ring", &(1 + n % 3))).collect();
    for answer in &answers {
        reply::<bool>(taken(answer));
    }
    // The claim is one second on a quiet machine; a deadlock would take the whole deadline.
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
    assert!(a.service.stats().pool.most <= 16 && b.service.stats().pool.most <= 16);
    a.service.stop(Instant::now() + PATIENCE);
    b.service.stop(Instant::now() + PATIENCE);
}

#[test]
fn a_nested_request_that_finds_all_workers_waiting_is_busy_and_a_first_one_waits() {
    let _bound = crate::bound::bound();
    let fake = Fake::new(&limits(2, 2));
    let (release, is_released) = bounded::<()>(0);
    let (running, is_running) = unbounded();
    let waits = move |_: Request<()>| {
        blocking(|| {
            running.send(()).unwrap();
            is_released.recv_timeout(PATIENCE).unwrap_err()
        });
        Ok(())
    };
    fake.service.on_request("waits", waits).unwrap();
    fake.service.on_request("quick", |_: Request<()>| Ok(7)).unwrap();
    let answers = [fake.ask("waits", &()), fake.ask("waits", &())];
    wait(&is_running, 2);
    let (nested, nested_answer) = fake.deep("quick", &(), 1);
    let (first, first_answer) = fake.deep("quick", &(), 0);
    fake.deliver(vec![first, nested]);
    assert_fault(taken(&nested_answer), ErrorKind::Busy, Execution::Never);
    assert!(first_answer.is_empty());
    assert_eq!(fake.service.stats().pool.all_waiting, 1);
    drop(release);
    assert_eq!(reply::<u32>(taken(&first_answer)), 7);
    all_done(&answers);
}

#[test]
fn a_queued_nested_request_is_busy_as_soon_as_the_last_worker_waits() {
    let _bound = crate::bound::bound();
    let fake = Fake::new(&limits(1, 1));
    let (queued, is_queued) = bounded::<()>(0);
    let (running, is_running) = unbounded();
    let waits = move |_: Request<()>| {
        running.send(()).unwrap();
        is_queued.recv_timeout(PATIENCE).unwrap();
        blocking(|| is_queued.recv_timeout(PATIENCE).unwrap());
        Ok(())
    };
    fake.service.on_request("waits", waits).unwrap();
    let answer = fake.ask("waits", &());
    wait(&is_running, 1);
    let (nested, nested_answer) = fake.deep("waits", &(), 1);
    fake.deliver(vec![nested]);
    assert!(nested_answer.is_empty());
    queued.send(()).unwrap();
    assert_fault(taken(&nested_answer), ErrorKind::Busy, Execution::Never);
    queued.send(()).unwrap();
    reply::<()>(taken(&answer));
}

// covers P22
#[test]
fn requests_beyond_the_queue_are_busy_and_ticks_are_not() {
    let _bound = crate::bound::bound();
    let fake = Fake::new(&Limits { worker_queue_jobs: 3, ..limits(1, 1) });
    let (running, release) = hold(&fake);
    let first = fake.ask("hold", &());
    wait(&running, 1);
    let queued: Vec<_> = (0..3).map(|_| fake.ask("hold", &())).collect();
    fake.deliver((0..10).map(|n| tick(n, None, "t", &())).collect());
    assert!(queued.iter().all(Receiver::is_empty));
    assert_eq!(fake.service.stats().pool.full, 0);
    assert_fault(taken(&fake.ask("hold", &())), ErrorKind::Busy, Execution::Never);
    assert_eq!(fake.service.stats().pool.full, 1);
    drop(release);
    fake.engine.consumed(10);
    all_done(&[first]);
    all_done(&queued);
}

// covers P22
#[test]
fn bytes_beyond_the_queue_are_busy_but_an_empty_queue_takes_any_size() {
    let _bound = crate::bound::bound();
    // A byte string of n bytes up to 255 has a head of two.
    for (bytes, fits) in [(199, true), (200, true), (201, false)] {
        let fake = Fake::new(&Limits { worker_queue_bytes: 404, ..limits(1, 1) });
        let (running, release) = hold(&fake);
        fake.service.on_request("any", |_: Request<Bytes>| Ok(())).unwrap();
        let first = fake.ask("hold", &());
        wait(&running, 1);
        let second = fake.ask("any", &Bytes::from(vec![0; 200]));
        let third = fake.ask("any", &Bytes::from(vec![0; bytes]));
        assert_eq!(third.is_empty(), fits, "{bytes}");
        release.send(()).unwrap();
        reply::<()>(taken(&first));
        reply::<()>(taken(&second));
        assert_eq!(matches!(taken(&third), Answer::Reply(_)), fits, "{bytes}");
        let again = fake.ask("hold", &());
        wait(&running, 1);
        let large = fake.ask("any", &Bytes::from(vec![0; 5_000]));
        assert!(large.is_empty());
        drop(release);
        reply::<()>(taken(&again));
        reply::<()>(taken(&large));
    }
}

// covers P20
#[test]
fn a_flooding_peer_leaves_workers_to_others() {
    let _bound = crate::bound::bound();
    let fake = Fake::new(&Limits { worker_queue_jobs: 8, ..limits(1, 1) });
    let (running, release) = hold(&fake);
    let (order, is_order) = unbounded();
    let note = move |req: Request<u64>| {
        order.send(req.data).map_err(|_| "gone")?;
        Ok(())
    };
    fake.service.on_request("note", note).unwrap();
    let first = fake.ask("hold", &());
    wait(&running, 1);
    let flood: Vec<_> = (0..8_u64).map(|n| fake.ask("note", &n)).collect();
    assert!(flood.iter().all(Receiver::is_empty));
    // The queue is full, and the others have none of it: the newest of who has most make room, until they have as many.
    let others = (0..4_u64).map(|n| fake.over(2, "note", &(100 + n), 0));
    let (batch, others): (Vec<_>, Vec<_>) = others.unzip();
    fake.deliver(batch);
    for (answer, fits) in flood.iter().zip([true, true, true, true, false, false, false, false]) {
        assert_eq!(answer.is_empty(), fits);
    }
    assert!(others.iter().all(Receiver::is_empty));
    assert_fault(taken(&flood[7]), ErrorKind::Busy, Execution::Never);
    let (fifth, refused) = fake.over(2, "note", &104_u64, 0);
    fake.deliver(vec![fifth]);
    assert_fault(taken(&refused), ErrorKind::Busy, Execution::Never);
    assert_eq!(fake.service.stats().pool.full, 5, "four made room, one was refused");
    drop(release);
    reply::<()>(taken(&first));
    all_done(&flood[..4]);
    all_done(&others);
    let order: Vec<u64> = is_order.try_iter().collect();
    assert_eq!(order, [0, 100, 1, 101, 2, 102, 3, 103], "they take turns");
}

#[test]
fn requests_that_nobody_waits_for_make_room_first() {
    let _bound = crate::bound::bound();
    let fake = Fake::new(&Limits { worker_queue_jobs: 2, ..limits(1, 1) });
    let (running, release) = hold(&fake);
    let first = fake.ask("hold", &());
    wait(&running, 1);
    let (given_up, _) = fake.request("hold", &());
    let Work::Request { cancelled, .. } = &given_up.work else { unreachable!() };
    let cancelled = Arc::clone(cancelled);
    fake.deliver(vec![given_up]);
    let wanted = fake.ask("hold", &());
    cancelled.store(true, Ordering::Relaxed);
    let next = fake.ask("hold", &());
    assert!(wanted.is_empty() && next.is_empty());
    drop(release);
    all_done(&[first, wanted, next]);
}

#[test]
fn a_batch_for_idle_workers_does_not_count_as_queued() {
    let _bound = crate::bound::bound();
    let fake = Fake::new(&Limits { worker_queue_jobs: 1, ..limits(4, 4) });
    let (running, release) = hold(&fake);
    let (batch, answers): (Vec<_>, Vec<_>) = (0..6).map(|_| fake.request("hold", &())).unzip();
    fake.deliver(batch);
    wait(&running, 4);
    assert_fault(taken(&answers[5]), ErrorKind::Busy, Execution::Never);
    drop(release);
    all_done(&answers[..5]);
}

#[test]
fn a_request_whose_deadline_passes_in_the_queue_is_answered_although_no_worker_is_free() {
    let _bound = crate::bound::bound();
    let fake = Fake::new(&limits(1, 1));
    let (running, release) = hold(&fake);
    let first = fake.ask("hold", &());
    wait(&running, 1);
    let (mut late, late_answer) = fake.request("hold", &());
    if let Work::Request { deadline, .. } = &mut late.work {
        *deadline = Instant::now() + Duration::from_millis(10);
    }
    fake.deliver(vec![late]);
    assert_fault(taken(&late_answer), ErrorKind::Expired, Execution::Never);
    drop(release);
    reply::<()>(taken(&first));
}

#[test]
fn ticks_of_a_lane_run_in_order_and_one_at_a_time() {
    let _bound = crate::bound::bound();
    let fake = Fake::new(&limits(4, 16));
    let seen: Arc<Mutex<Vec<(String, u64)>>> = Arc::default();
    let busy: Arc<[AtomicBool; 3]> = Arc::default();
    let log = seen.clone();
    let handler = move |tick: Tick<(usize, u64)>| {
        let (lane, number) = tick.data;
        assert!(!busy[lane].swap(true, Ordering::SeqCst), "two workers in one lane");
        if number % 97 == 0 {
            std::thread::yield_now();
        }
        log.lock().unwrap().push((format!("lane {lane}"), number));
        busy[lane].store(false, Ordering::SeqCst);
    };
    fake.service.on_tick("t", handler).unwrap();
    for turn in 0..20_u64 {
        let batch = (0..100).flat_map(|n| {
            let number = turn * 100 + n;
            [(1, None), (2, None), (2, Some("far"))]
                .into_iter()
                .enumerate()
                .map(move |(lane, (link, origin))| tick(link, origin, "t", &(lane, number)))
        });
        fake.deliver(batch.collect());
    }
    let reports = fake.engine.consumed(6_000);
    assert!(reports.len() < 2_000, "reports are in aggregate: {}", reports.len());
    assert_eq!(fake.service.stats().failed_ticks, 0);
    let seen = seen.lock().unwrap();
    for lane in 0..3 {
        let name = format!("lane {lane}");
        let numbers: Vec<u64> =
            seen.iter().filter(|(lane, _)| *lane == name).map(|(_, number)| *number).collect();
        assert!(numbers.iter().copied().eq(0..2_000), "{name}");
    }
}

#[test]
fn lanes_run_beside_each_other() {
    let _bound = crate::bound::bound();
    let fake = Fake::new(&limits(2, 2));
    let together = Arc::new(std::sync::Barrier::new(2));
    let meet = move |_: Tick<()>| {
        together.wait();
    };
    fake.service.on_tick("t", meet).unwrap();
    fake.deliver(vec![tick(1, None, "t", &()), tick(2, None, "t", &())]);
    fake.engine.consumed(2);
}

#[test]
fn a_slow_tick_is_reported_before_the_next_one_begins() {
    let _bound = crate::bound::bound();
    let fake = Fake::new(&limits(1, 1));
    let (release, is_released) = unbounded::<()>();
    let (running, is_running) = unbounded();
    let slow = move |_: Tick<()>| {
        running.send(()).unwrap();
        is_released.recv_timeout(PATIENCE).unwrap();
    };
    fake.service.on_tick("t", slow).unwrap();
    fake.deliver((0..3).map(|_| tick(1, None, "t", &())).collect());
    for _ in 0..3 {
        wait(&is_running, 1);
        // The handler must be slow for the claim to hold.
        assert!(fake.engine.is_consumed.recv_timeout(Duration::from_millis(5)).is_err());
        release.send(()).unwrap();
        assert_eq!(fake.engine.consumed(1).len(), 1);
    }
}

#[test]
fn a_busy_lane_leaves_room_for_requests() {
    let _bound = crate::bound::bound();
    let fake = Fake::new(&limits(1, 1));
    let done = Arc::new(AtomicU64::new(0));
    let (count, at_request) = (done.clone(), done.clone());
    let slow = move |_: Tick<()>| {
        let until = Instant::now() + Duration::from_micros(50);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        count.fetch_add(1, Ordering::SeqCst);
    };
    fake.service.on_tick("t", slow).unwrap();
    let count = move |_: Request<()>| Ok(at_request.load(Ordering::SeqCst));
    fake.service.on_request("count", count).unwrap();
    fake.deliver((0..2_000).map(|_| tick(1, None, "t", &())).collect());
    assert!(reply::<u64>(taken(&fake.ask("count", &()))) < 2_000);
    fake.engine.consumed(2_000);
}

#[test]
fn surplus_workers_end_when_they_are_idle() {
    let _bound = crate::bound::bound();
    let fake = Fake::with_idle(&limits(2, 256), Duration::from_millis(20));
    let (running, release) = hold(&fake);
    let (batch, answers): (Vec<_>, Vec<_>) = (0..6).map(|_| fake.request("hold", &())).unzip();
    fake.deliver(batch);
    wait(&running, 6);
    drop(release);
    all_done(&answers);
    fake.until_workers(2);
    fake.service.on_request("quick", |_: Request<()>| Ok(())).unwrap();
    reply::<()>(taken(&fake.ask("quick", &())));
    assert_eq!(fake.service.stats().pool.workers, 2);
}

#[test]
fn a_pool_without_work_has_no_threads() {
    let _bound = crate::bound::bound();
    let fake = Fake::new(&limits(2, 4));
    assert_eq!(fake.service.stats().pool.workers, 0);
}

#[test]
fn a_stop_refuses_queued_requests_runs_queued_ticks_and_lets_handlers_finish() {
    let _bound = crate::bound::bound();
    let fake = Fake::new(&limits(1, 1));
    let (running, release) = hold(&fake);
    let ticks = Arc::new(AtomicUsize::new(0));
    let count = ticks.clone();
    let counts = move |_: Tick<()>| {
        count.fetch_add(1, Ordering::SeqCst);
    };
    fake.service.on_tick("t", counts).unwrap();
    let first = fake.ask("hold", &());
    wait(&running, 1);
    let second = fake.ask("hold", &());
    fake.deliver((0..500).map(|_| tick(1, None, "t", &())).collect());
    let other = fake.clone();
    let stopper = std::thread::Builder::new()
        .spawn(move || other.service.stop(Instant::now() + PATIENCE))
        .unwrap();
    assert_fault(taken(&second), ErrorKind::Busy, Execution::Never);
    drop(release);
    reply::<()>(taken(&first));
    assert_eq!(stopper.join().unwrap(), super::Detached::default());
    assert_eq!(ticks.load(Ordering::SeqCst), 500);
    assert_eq!(fake.service.stats().pool.workers, 0);
}

// covers P24
#[test]
fn a_worker_still_in_user_code_at_the_bound_is_named_and_ends_later() {
    let _bound = crate::bound::bound();
    let fake = Fake::new(&limits(1, 1));
    let (running, release) = hold(&fake);
    let answer = fake.ask("hold", &());
    wait(&running, 1);
    fake.deliver(vec![tick(1, None, "t", &())]);
    let detached = fake.service.stop(Instant::now() + Duration::from_millis(20));
    assert_eq!(detached.workers, ["tm-here-w1"]);
    assert_eq!(detached.ticks, 1);
    drop(release);
    reply::<()>(taken(&answer));
    fake.until_workers(0);
    assert_eq!(fake.service.stop(Instant::now() + PATIENCE), super::Detached::default());
}

#[test]
fn handlers_may_stop_their_own_service_also_several_at_once() {
    let _bound = crate::bound::bound();
    let fake = Fake::new(&limits(3, 3));
    let together = Arc::new(std::sync::Barrier::new(3));
    let inside = Arc::downgrade(&fake.service);
    let stop = move |_: Request<()>| {
        blocking(|| together.wait());
        let service = inside.upgrade().ok_or("gone")?;
        Ok(service.stop(Instant::now() + PATIENCE).workers)
    };
    fake.service.on_request("stop", stop).unwrap();
    let begun = Instant::now();
    let (batch, answers): (Vec<_>, Vec<_>) = (0..3).map(|_| fake.request("stop", &())).unzip();
    fake.deliver(batch);
    for answer in &answers {
        assert_eq!(reply::<Vec<String>>(taken(answer)), Vec::<String>::new());
    }
    assert!(begun.elapsed() < PATIENCE / 2);
    fake.until_workers(0);
}
