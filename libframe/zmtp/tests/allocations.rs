//! Messages come without an allocation for each of them.

#![allow(unsafe_code, reason = "counting allocations takes an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use libframe_zmtp::{Decoder, Limits, Step, greeting, put_message};

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

#[test]
fn messages_come_without_an_allocation_for_each() {
    let (mut decoder, mut bytes) = (Decoder::new(Limits::default()), Vec::new());
    decoder.push(&greeting());
    assert_eq!(decoder.step(), Ok(Step::Greeting { minor: 1 }));
    for _ in 0..100 {
        put_message(&mut bytes, &[b"DATA\0", &[1; 300], &[2; 1920]]);
    }
    let mut run = |rounds: u32| {
        let (before, mut messages) = (COUNT.get(), 0);
        for _ in 0..rounds {
            decoder.push(&bytes);
            while decoder.step() == Ok(Step::Message) {
                assert_eq!(decoder.parts().len(), 3);
                messages += 1;
            }
        }
        assert_eq!(messages, rounds * 100);
        COUNT.get() - before
    };
    run(10);
    assert_eq!(run(200), 0);
}
