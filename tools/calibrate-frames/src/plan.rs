//! A stream that is calibrated, on its way out.

use anyhow::{Result, bail};
use libframe::batch::{Builder, Sample, Samples};
use libframe::payload::Payload as _;
use libframe::schema::Stream;
use libframe::tool::Output;
use libframe::wire::{Header, Kind, Record};

use crate::scale::Scale;
use crate::tare::Tare;

/// What comes of a long batch is sent in several, so that memory does not depend on it.
const MAX_BATCH: usize = 1 << 20;

/// The longest description of zeros; more would not be read by anybody.
const MAX_TOLD: usize = 4096;

/// What is done with a stream.
pub(crate) struct Plan {
    /// Which description it is made from.
    pub(crate) description: u32,
    /// `None`: it passes.
    pub(crate) work: Option<Box<Work>>,
}

/// How a stream is calibrated.
pub(crate) struct Work {
    pub(crate) scale: Scale,
    /// What comes out.
    pub(crate) stream: Stream,
    /// While its zeros are being learnt.
    pub(crate) tare: Option<Tare>,
}

/// Sends records, with buffers that are used again.
pub(crate) struct Writer {
    builder: Builder,
    converted: Vec<u8>,
}

impl Default for Writer {
    fn default() -> Writer {
        Writer { builder: Builder::new(true), converted: Vec::new() }
    }
}

impl Writer {
    /// Passes on what is not a description: calibrated, held, or as it is.
    pub(crate) fn pass(
        &mut self,
        plan: &mut Plan,
        record: Record<'_>,
        out: &mut impl Output,
    ) -> Result<()> {
        let Some(work) = &mut plan.work else { return out.send(record) };
        let Some(tare) = &mut work.tare else {
            return self.send(&work.scale, record, out);
        };
        let mut over = false;
        if record.header.kind.has_samples() {
            for sample in samples(&work.scale, &record)?.iter() {
                match tare.covers(&sample) {
                    true => tare.add(work.scale.values(sample.bytes)),
                    false => over = true,
                }
            }
        }
        if !over && tare.hold(&record) {
            return Ok(());
        }
        self.release(plan, out)?;
        match &plan.work {
            Some(work) if over => self.send(&work.scale, record, out),
            _ => Ok(()),
        }
    }

    /// Passes on a stream's description: as it is, as it is now, or held until it is known.
    pub(crate) fn describe(
        &mut self,
        plan: &mut Plan,
        record: Record<'_>,
        out: &mut impl Output,
    ) -> Result<()> {
        let Some(work) = &mut plan.work else { return out.send(record) };
        match &mut work.tare {
            None => out.send(Record::new(record.header, &work.stream.to_bytes())),
            Some(tare) => {
                // One is enough.
                if !tare.is_waiting() {
                    tare.hold(&record);
                }
                Ok(())
            }
        }
    }

    /// Ends a tare: its zeros are known, and what was held goes out.
    pub(crate) fn release(
        &mut self,
        plan: &mut Plan,
        out: &mut impl Output,
    ) -> Result<()> {
        let Some(Work { scale, stream, tare }) = plan.work.as_deref_mut() else {
            return Ok(());
        };
        let Some(mut tare) = tare.take() else { return Ok(()) };
        scale.set_zeros(&tare.means());
        if scale.width() <= MAX_TOLD {
            let zeros: Vec<_> = scale.zeros().map(|zero| format!("{zero:.6}")).collect();
            stream.meta.insert("tare".into(), zeros.join(" "));
        }
        stream.meta.insert("tare_samples".into(), tare.samples.to_string());
        let description = stream.to_bytes();
        for (header, payload) in tare.release() {
            match header.kind {
                Kind::STREAM => out.send(Record::new(header, &description))?,
                _ => self.send(scale, Record::new(header, &payload), out)?,
            }
        }
        Ok(())
    }

    /// Sends a record, its samples calibrated.
    fn send(
        &mut self,
        scale: &Scale,
        record: Record<'_>,
        out: &mut impl Output,
    ) -> Result<()> {
        let header = record.header;
        if !header.kind.has_samples() {
            return out.send(record);
        }
        for sample in samples(scale, &record)?.iter() {
            self.converted.clear();
            scale.convert(sample.bytes, &mut self.converted);
            let sample = Sample { bytes: &self.converted, ..sample };
            let alone = header.kind == Kind::DATA || self.converted.len() > MAX_BATCH;
            if alone {
                flush(&mut self.builder, out)?;
                out.send_sample(&header, &sample)?;
            } else if !self.builder.push(&header, &sample, MAX_BATCH) {
                flush(&mut self.builder, out)?;
                self.builder.push(&header, &sample, MAX_BATCH);
            }
        }
        flush(&mut self.builder, out)
    }
}

/// The samples of a record, which must be as they are described.
fn samples<'a>(scale: &Scale, record: &Record<'a>) -> Result<Samples<'a>> {
    let samples = Samples::parse(record, true)?;
    if !samples.are_of_size(scale.size) {
        let Header { stream, seq, .. } = record.header;
        bail!("stream {stream}: sample {seq} has not the {} bytes described", scale.size);
    }
    Ok(samples)
}

fn flush(builder: &mut Builder, out: &mut impl Output) -> Result<()> {
    match builder.finish() {
        Some(batch) => out.send(batch),
        None => Ok(()),
    }
}
