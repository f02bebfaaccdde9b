//! Records wait without an allocation for each of them.

#![cfg(feature = "tool")]
#![allow(unsafe_code, reason = "counting allocations takes an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use libframe::tool::{Chunk, Full, Lanes, Limits, Put};
use libframe::wire::{Header, Kind, Record};

/// The system's allocator, which counts what each thread asks of it.
struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        // SAFETY: the caller's promises are those that the system's asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: it came from the system's, since all do.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn put(lanes: &mut Lanes, stream: u16, seq: u64) {
    let (kind, session) = (Kind::DATA, 7);
    let header = Header { kind, flags: 0, stream, session, seq, time: 0, sent: 0 };
    assert_eq!(lanes.put(&Record::new(header, &[1; 272])), Put::Done);
}

#[test]
fn records_come_and_go_without_an_allocation_for_each() {
    for full in [Full::Refuse, Full::DropOldest, Full::DropNewest] {
        let limits = Limits { bytes: 1 << 20, records: None, time: None };
        let mut lanes = Lanes::new(limits, full, "test");
        let mut chunk = Chunk::default();
        let mut run = |records: u64, from: u64| {
            let before = COUNT.get();
            for seq in from..from + records {
                // One at a time, as slow streams come, then a heap of them.
                (1..4).for_each(|stream| put(&mut lanes, stream, seq));
                if seq % 600 > 500 {
                    lanes.take(&mut chunk);
                    assert!(!chunk.is_empty());
                }
            }
            COUNT.get() - before
        };
        run(5_000, 0);
        let allocations = run(20_000, 5_000);
        assert!(allocations < 60_000 / 100, "{full:?}: {allocations} for 60000 records");
    }
}
