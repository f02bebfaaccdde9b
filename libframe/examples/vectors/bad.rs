//! Streams that were damaged, cut or mixed on the way.

use libframe::wire::{HEADER_LEN, Kind, MAGIC, MAX_PAYLOAD};

use crate::cases::*;

/// Streams that something happened to.
pub(crate) fn bad() -> Vec<Case> {
    let bad = |name, about, found, bytes| Case { name, about, bytes, found };
    let all = short(A);
    let [first, third, last] = [0, 3, all.marks.len() - 1];
    vec![
        bad(
            "flip-first-magic",
            "A bit of the very first magic: damaged, not joined late.",
            (6, &["header"]),
            all.flipped(first, 2, 0),
        ),
        bad(
            "flip-magic",
            "A bit of a magic.",
            (6, &["header"]),
            all.flipped(third, 0, 7),
        ),
        bad(
            "flip-header",
            "A bit of a sequence number; the header's CRC tells.",
            (6, &["header"]),
            all.flipped(third, 16, 3),
        ),
        bad(
            "flip-length",
            "A bit of a length, that must not be believed.",
            (6, &["header"]),
            all.flipped(third, 11, 1),
        ),
        bad(
            "flip-payload",
            "A bit of a payload: the header still tells which sample is lost.",
            (6, &["payload"]),
            all.flipped(third, HEADER_LEN + 1, 5),
        ),
        bad(
            "flip-last",
            "A bit of the last payload, after which no header follows.",
            (6, &["payload"]),
            all.flipped(last, HEADER_LEN + 3, 5),
        ),
        bad("cut", "Twenty bytes of a header are gone.", (6, &["header"]), cut(&all)),
        bad(
            "swallowed",
            "As many bytes of a payload are gone as the next record has: the length reaches \
             just over that record, which must come all the same.",
            (3, &["payload"]),
            swallowed(),
        ),
        bad(
            "inserted",
            "Foreign bytes between two records.",
            (7, &["header"]),
            inserted(&all),
        ),
        bad(
            "truncated",
            "The stream ends within the payload of END.",
            (6, &["truncated"]),
            all.bytes[..all.bytes.len() - 9].to_vec(),
        ),
        bad(
            "no-end",
            "The stream ends after a whole record, but without END.",
            (6, &[]),
            all.bytes[..all.marks[last]].to_vec(),
        ),
        bad(
            "late",
            "The tail of a stream, from within sample 0: late, not damaged, and what was \
             before is not lost.",
            (4, &["late"]),
            all.bytes[all.marks[2] + 30..].to_vec(),
        ),
        bad(
            "embedded",
            "A recording as the payload of another, damaged: nothing in it is delivered.",
            (3, &["payload"]),
            embedded(),
        ),
        bad(
            "broken-then-whole",
            "A recording that broke off within a payload, then a whole one: the length \
             reaches into the second, and nothing of that may be lost.",
            (13, &["payload"]),
            [&all.bytes[..all.bytes.len() - 9], &short(B).bytes].concat(),
        ),
        bad(
            "version",
            "A record of version 2 amid those of version 1.",
            (7, &["version"]),
            with_foreign(&all, b'2', 4),
        ),
        bad(
            "too-long",
            "A header that holds, with a length over the format's limit.",
            (7, &["too-long"]),
            with_foreign(&all, MAGIC[3], MAX_PAYLOAD as u32 + 1),
        ),
        bad(
            "batch-nonsense",
            "Good CRCs, but the batch claims more samples than it has bytes; \
             they are lost, and no others.",
            (6, &[]),
            batch_nonsense(),
        ),
        bad(
            "mixed-sessions",
            "Two recordings were written into one pipe, record by record.",
            (14, &[]),
            mixed_sessions(),
        ),
    ]
}

pub(crate) fn cut(all: &Writer) -> Vec<u8> {
    let at = all.marks[3] + 10;
    [&all.bytes[..at], &all.bytes[at + 20..]].concat()
}

pub(crate) fn inserted(all: &Writer) -> Vec<u8> {
    let (before, after) = all.bytes.split_at(all.marks[4]);
    [before, b"tty: \xD5FP1 break\n", after].concat()
}

pub(crate) fn swallowed() -> Vec<u8> {
    let all =
        Writer::new(A).record(Kind::DATA, 1, 0, &[0x55; 100]).data(1, 1).end(&[(1, 2)]);
    let lost = all.marks[3] - all.marks[2];
    let at = all.marks[1] + HEADER_LEN + 10;
    [&all.bytes[..at], &all.bytes[at + lost..]].concat()
}

pub(crate) fn embedded() -> Vec<u8> {
    let inner = Writer::bare(B).data(1, 0).data(1, 1).data(1, 2);
    let all = Writer::new(A).record(Kind::DATA, 1, 0, &inner.bytes).data(1, 1);
    all.end(&[(1, 2)]).flipped(1, HEADER_LEN + 50, 0)
}

/// A header that holds, of this version's digit and a length, and four bytes after it.
pub(crate) fn with_foreign(all: &Writer, digit: u8, length: u32) -> Vec<u8> {
    let mut foreign = all.header(Kind::DATA, 1, 2).encode(length, 0);
    foreign[3] = digit;
    let (body, crc) = foreign.split_at_mut(HEADER_LEN - 4);
    crc.copy_from_slice(&libframe::crc::crc32c(body).to_le_bytes());
    let (before, after) = all.bytes.split_at(all.marks[4]);
    [before, &foreign, &pair(2), after].concat()
}

pub(crate) fn batch_nonsense() -> Vec<u8> {
    let claim = [&1_000_000u32.to_le_bytes()[..], &[0; 12], &pair(1)].concat();
    let begin = Writer::new(A).typed(1, 0, &pairs()).data(1, 0);
    begin.record(Kind::BATCH, 1, 1, &claim).data(1, 2).end(&[(1, 3)]).bytes
}

pub(crate) fn mixed_sessions() -> Vec<u8> {
    let both = [short(A), short(B)];
    let mut bytes = Vec::new();
    for record in 0..both[0].marks.len() {
        for Writer { bytes: all, marks, .. } in &both {
            let end = marks.get(record + 1).copied().unwrap_or(all.len());
            bytes.extend_from_slice(&all[marks[record]..end]);
        }
    }
    bytes
}
