//! What a record costs to encode and to decode in memory, beside MCAP.
//!
//! MCAP sums up chunks, not messages: one chunk for each message is the only way for it
//! to have a CRC on every sample without waiting for more. Without chunks, which is how
//! it is fastest, it has none.

use std::hint::black_box;
use std::io::{Cursor, Write as _};

use anyhow::{Result, ensure};
use libframe::clock::Clock;
use libframe::decoder::{Decoder, Item};
use libframe::wire::{Header, Kind, Record};
use mcap::records::MessageHeader;
use mcap::sans_io::linear_reader::{LinearReadEvent, LinearReader, LinearReaderOptions};
use mcap::{WriteOptions, parse_record};

use crate::report::{Goal, Row, Series, Unit};

const SAMPLE: usize = 272;
/// Samples of a pass: few enough to stay in the caches, as what a pipe holds does.
const SAMPLES: usize = 2000;
const PASSES: usize = 10;
const ROUNDS: usize = 51;
/// What is handed to a decoder at once: what a read of a full pipe gives.
const PIECE: usize = 64 << 10;

/// A format: how samples become bytes, and how many come out of those.
struct Codec {
    encode: fn(Vec<u8>, &[u8]) -> Result<Vec<u8>>,
    decode: fn(&[u8]) -> Result<usize>,
    encoding: Series,
    decoding: Series,
}

/// Encode and decode against MCAP with and without CRCs.
pub(crate) fn rows() -> Result<Vec<Row>> {
    let samples: Vec<u8> = (0..SAMPLES * SAMPLE).map(|i| ((i * i) >> 7) as u8).collect();
    let mut codecs = [
        codec("libframe", encode_frames, decode_frames),
        codec("mcap, CRC each", encode_summed, |bytes| decode_mcap(bytes, false)),
        codec("mcap, CRC first", encode_summed, |bytes| decode_mcap(bytes, true)),
        codec("mcap, no CRC", encode_bare, |bytes| decode_mcap(bytes, false)),
    ];
    for _ in 0..ROUNDS {
        for codec in &mut codecs {
            codec.round(&samples)?;
        }
    }
    let [ours, summed, first, bare] = &codecs;
    let encode = |peer: &Codec, goal| row("encode", &ours.encoding, &peer.encoding, goal);
    let decode = |peer: &Codec, goal| row("decode", &ours.decoding, &peer.decoding, goal);
    Ok(vec![
        encode(summed, Some(Goal::AtMost(0.25))),
        encode(bare, None),
        decode(summed, Some(Goal::AtMost(0.6))),
        decode(first, None),
        decode(bare, None),
    ])
}

fn codec(
    name: &'static str,
    encode: fn(Vec<u8>, &[u8]) -> Result<Vec<u8>>,
    decode: fn(&[u8]) -> Result<usize>,
) -> Codec {
    Codec { encode, decode, encoding: Series::new(name), decoding: Series::new(name) }
}

fn row(what: &str, ours: &Series, peer: &Series, goal: Option<Goal>) -> Row {
    Row::new(format!("{what}, 272 B"), Unit::Nanos, ours, peer, goal)
}

impl Codec {
    fn round(&mut self, samples: &[u8]) -> Result<()> {
        // Once before the clock starts, so that no pass pays for fresh memory.
        let mut bytes = (self.encode)(Vec::new(), samples)?;
        let clock = Clock::system();
        let begin = clock.now();
        for _ in 0..PASSES {
            bytes = (self.encode)(bytes, black_box(samples))?;
        }
        let between = clock.now();
        for _ in 0..PASSES {
            let came = (self.decode)(black_box(&bytes))?;
            ensure!(came == SAMPLES, "{came} of {SAMPLES} samples came back");
        }
        let each = |time: i64| time as f64 / (PASSES * SAMPLES) as f64;
        self.encoding.values.push(each(between - begin));
        self.decoding.values.push(each(clock.now() - between));
        Ok(())
    }
}

fn encode_frames(mut out: Vec<u8>, samples: &[u8]) -> Result<Vec<u8>> {
    out.clear();
    let (kind, flags, stream, session) = (Kind::DATA, 0, 1, 7);
    for (seq, payload) in (0..).zip(samples.chunks_exact(SAMPLE)) {
        let (time, sent) = (seq as i64, seq as i64);
        let header = Header { kind, flags, stream, session, seq, time, sent };
        Record::new(header, payload).encode(&mut out);
    }
    Ok(out)
}

fn decode_frames(mut bytes: &[u8]) -> Result<usize> {
    let (mut decoder, mut came) = (Decoder::default(), 0);
    while !bytes.is_empty() {
        let space = decoder.space();
        let n = bytes.len().min(space.len()).min(PIECE);
        space[..n].copy_from_slice(&bytes[..n]);
        decoder.filled(n);
        bytes = &bytes[n..];
        while let Some(item) = decoder.pull() {
            ensure!(matches!(black_box(item), Item::Record(_)), "damage");
            came += 1;
        }
    }
    Ok(came)
}

/// With everything off that a pipe has no use for: indexes, statistics, repetitions.
fn mcap_options(chunks: bool) -> WriteOptions {
    WriteOptions::new()
        .compression(None)
        .use_chunks(chunks)
        .calculate_chunk_crcs(chunks)
        .calculate_data_section_crc(false)
        .calculate_summary_section_crc(false)
        .emit_message_indexes(false)
        .emit_summary_records(false)
        .emit_summary_offsets(false)
}

fn encode_summed(out: Vec<u8>, samples: &[u8]) -> Result<Vec<u8>> {
    encode_mcap(out, samples, true)
}

fn encode_bare(out: Vec<u8>, samples: &[u8]) -> Result<Vec<u8>> {
    encode_mcap(out, samples, false)
}

fn encode_mcap(mut out: Vec<u8>, samples: &[u8], chunks: bool) -> Result<Vec<u8>> {
    out.clear();
    let mut writer = mcap_options(chunks).create(Cursor::new(out))?;
    let channel_id = writer.add_channel(0, "samples", "raw", &Default::default())?;
    for (sequence, payload) in (0..).zip(samples.chunks_exact(SAMPLE)) {
        let time = u64::from(sequence);
        let header =
            MessageHeader { channel_id, sequence, log_time: time, publish_time: time };
        writer.write_to_known_channel(&header, payload)?;
        writer.flush()?;
    }
    writer.finish()?;
    Ok(writer.into_inner().into_inner())
}

/// By default MCAP gives a message out before it has seen its chunk's CRC; `first` makes
/// it check before, as libframe does.
fn decode_mcap(mut bytes: &[u8], first: bool) -> Result<usize> {
    let options = LinearReaderOptions::default()
        .with_validate_chunk_crcs(true)
        .with_prevalidate_chunk_crcs(first);
    let (mut reader, mut came) = (LinearReader::new_with_options(options), 0);
    while let Some(event) = reader.next_event() {
        match event? {
            LinearReadEvent::ReadRequest(wanted) => {
                let n = reader.insert(wanted.max(PIECE)).write(bytes)?;
                reader.notify_read(n);
                bytes = &bytes[n..];
            }
            LinearReadEvent::Record { opcode: mcap::records::op::MESSAGE, data } => {
                black_box(parse_record(mcap::records::op::MESSAGE, data)?);
                came += 1;
            }
            LinearReadEvent::Record { .. } => {}
        }
    }
    Ok(came)
}
