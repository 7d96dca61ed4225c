use std::time::Duration;

use super::*;
use crate::error::ErrorKind;
use crate::wire::{Fault, Frame, FrameReader, Incoming, parse};

fn payload(len: usize) -> Payload {
    let mut item = vec![0x5a];
    item.extend_from_slice(&(len as u32).to_be_bytes());
    item.resize(5 + len, 7);
    Payload::from_item(item)
}

fn reply(call: u64, len: usize) -> Item {
    let head = ItemHead::Reply { call: CallId(call), handler: None };
    Item { head, payload: payload(len), cost: 0 }
}

fn tick(cost: usize) -> Item {
    let event = EventName::new("note").expect("a legal name");
    let head = ItemHead::Tick { event, headers: Headers::default() };
    Item { head, payload: payload(cost - 5), cost }
}

fn heartbeat() -> Control {
    Control::Heartbeat { ticks: 0, cost: 0, stamp: 0, echo: 0 }
}

/// Has the kernel take everything; the kinds of the messages, in order, and what was counted.
fn write_all(queue: &mut SendQueue) -> (Vec<&'static str>, Written) {
    let (mut bytes, mut written) = (Vec::new(), Written::default());
    loop {
        queue.stage(Instant::now());
        let staged: Vec<u8> = queue.outgoing().flatten().copied().collect();
        if staged.is_empty() {
            break;
        }
        let taken = queue.sent(staged.len());
        written.cost += taken.cost;
        written.ticks += taken.ticks;
        written.tick_cost += taken.tick_cost;
        written.answers += taken.answers;
        bytes.extend(staged);
    }
    let (mut reader, mut input, mut kinds) = (FrameReader::new(1 << 24), bytes.as_slice(), vec![]);
    while let Ok(Some(frame)) = reader.next(&mut input) {
        let bytes = match &frame {
            Frame::Borrowed(bytes) => bytes.to_vec(),
            Frame::Owned(bytes) => bytes.clone(),
        };
        kinds.push(match parse(&bytes, &mut 0).expect("a whole message") {
            Incoming::Control(Control::Heartbeat { .. }) => "heartbeat",
            Incoming::Control(Control::Cancel { .. }) => "cancel",
            Incoming::Control(Control::Fault(_)) => "fault",
            Incoming::Data { .. } => "data",
            other => panic!("{other:?}"),
        });
    }
    (kinds, written)
}

#[test]
fn control_goes_before_data_that_is_not_framed() {
    let mut queue = SendQueue::default();
    queue.push(tick(200));
    queue.push_state(&heartbeat());
    queue.push(reply(1, 10));
    let (kinds, written) = write_all(&mut queue);
    assert_eq!(kinds, ["heartbeat", "data", "data"]);
    assert_eq!((written.ticks, written.tick_cost, written.answers), (1, 200, 1));
    assert!(queue.is_empty() && queue.held() == 0);
}

#[test]
fn control_goes_between_the_segments_of_a_large_message_and_its_cancel_behind_them() {
    let mut queue = SendQueue::default();
    let event = EventName::new("job").expect("a legal name");
    let deadline = Instant::now() + Duration::from_secs(1);
    let (call, headers) = (CallId(1), Headers::default());
    let head = ItemHead::Request { call, deadline, depth: 0, event, headers, kept: false };
    let large = payload(4 * STAGED_BYTES);
    let seq = queue.push(Item { head, cost: large.len(), payload: large });
    queue.stage(Instant::now());
    assert!(queue.is_begun(seq) && !queue.is_written(seq));
    assert_eq!(queue.withdraw(seq), None, "too late");
    queue.push_cancel(seq, &Control::Cancel { call });
    queue.push_state(&heartbeat());
    let (kinds, _) = write_all(&mut queue);
    assert_eq!(kinds, ["heartbeat", "data", "cancel"], "whole messages, by their last segments");
    assert!(queue.is_written(seq));
}

#[test]
fn withdrawn_message_gives_its_capacity_back_and_keeps_the_order() {
    let mut queue = SendQueue::default();
    let first = queue.push(tick(500));
    let second = queue.push(tick(600));
    assert_eq!(queue.withdraw(first), Some(500 - PLACE_COST));
    assert_eq!(queue.room_taken(), PLACE_COST + 600);
    let (kinds, written) = write_all(&mut queue);
    assert_eq!(kinds, ["data"]);
    assert_eq!((written.cost, written.ticks), (PLACE_COST + 600, 1));
    assert!(queue.is_written(first) && queue.is_written(second));
}

#[test]
fn goodbye_drops_what_is_not_begun_and_names_the_replies_among_it() {
    let mut queue = SendQueue::default();
    queue.push(reply(1, 4 * STAGED_BYTES));
    queue.stage(Instant::now());
    queue.push(reply(2, 10));
    let fault = |call, execution| {
        let (kind, message) = (ErrorKind::Busy, String::new());
        let (call, asked) = (CallId(call), Vec::new());
        let fault = Fault { call, kind, execution, message, asked, handler: None };
        let head = ItemHead::Control(Box::new(Control::Fault(Box::new(fault))));
        Item { head, payload: Payload::null(), cost: 0 }
    };
    queue.push(fault(3, Execution::Never));
    queue.push(fault(4, Execution::Unknown));
    let mut lost: Vec<u64> = queue.unframed_answers().map(|call| call.0).collect();
    lost.sort_unstable();
    assert_eq!(lost, [1, 2, 4], "what never ran is not among them");
    queue.drop_unframed();
    assert_eq!(queue.unframed_answers().count(), 0);
    let staged: usize = queue.outgoing().map(<[u8]>::len).sum();
    queue.sent(staged);
    assert!(queue.is_empty() && queue.held() == 0);
}

#[test]
fn what_is_staged_counts_as_written_when_the_link_closes() {
    let mut queue = SendQueue::default();
    let seq = queue.push(tick(300));
    assert_eq!(queue.count_staged(), Written::default());
    queue.stage(Instant::now());
    assert!(!queue.is_written(seq));
    assert_eq!(queue.count_staged().ticks, 1);
    assert!(queue.is_written(seq) && !queue.is_empty());
}
