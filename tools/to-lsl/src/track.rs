//! A stream on its way to its outlet.

use anyhow::Result;
use libframe::batch::Sample;
use libframe::schema::{Dtype, Media, Stream};
use libframe_lsl::info::{Format, Info};
use libframe_lsl::outlet::{OVERHEAD, Outlet};
use libframe_lsl::values;

use crate::haste::Haste;

/// So much is pushed at once at most, and so many samples.
const MOST_BYTES: u64 = 64 << 10;
const MOST_SAMPLES: usize = 1024;
/// How long consumers keep samples by default; more than they do is of no use here.
const KEPT_SECONDS: f64 = 360.0;
/// Samples a second that liblsl assumes of streams without a rate.
const ASSUMED_RATE: f64 = 100.0;
/// Samples that wait for a consumer of a stream that comes in haste.
const FEW_BYTES: u64 = 1 << 20;

/// A stream on its way to its outlet.
#[derive(Debug)]
pub(crate) struct Track {
    pub(crate) outlet: Outlet,
    pub(crate) info: Info,
    /// The stream's own name.
    pub(crate) name: String,
    pub(crate) media: Media,
    /// `None` for texts.
    dtype: Option<Dtype>,
    /// Bytes of a sample in a record; texts have any number.
    size: Option<usize>,
    /// The description it was made from.
    pub(crate) description: u32,
    /// Samples that may wait for a consumer.
    capacity: u32,
    haste: Haste,
    /// Consumers were waited for.
    pub(crate) was_awaited: bool,
    /// The time of the newest sample, ns.
    newest: i64,
    /// When something was pushed last.
    pub(crate) pushed: i64,
    /// Samples dropped because the queue was full.
    pub(crate) dropped: u64,
    room: Vec<u8>,
}

/// How much may wait for the consumers of a stream: as much as the user said, and no more
/// than they would keep.
pub(crate) fn capacity(info: &Info, queue: u64) -> u32 {
    let value =
        if info.format == Format::String { 64 } else { info.format.size() as u64 };
    let sample = OVERHEAD + u64::from(info.channel_count) * value;
    let rate = if info.rate > 0.0 { info.rate } else { ASSUMED_RATE };
    let kept = (KEPT_SECONDS * rate).min(1e9) as u64;
    (queue / sample).min(kept).clamp(64, 1 << 30) as u32
}

impl Track {
    pub(crate) fn new(
        outlet: Outlet,
        info: Info,
        stream: &Stream,
        description: u32,
        capacity: u32,
    ) -> Track {
        let is_text = info.format == Format::String;
        Track {
            outlet,
            info,
            name: stream.name.clone(),
            media: stream.media,
            dtype: stream.dtype.filter(|_| !is_text),
            size: stream.sample_size().filter(|_| !is_text),
            description,
            capacity,
            haste: Haste::default(),
            was_awaited: false,
            newest: 0,
            pushed: 0,
            dropped: 0,
            room: Vec::new(),
        }
    }

    /// Whether what is described now can go on in this outlet.
    pub(crate) fn goes_on_as(&self, info: &Info, stream: &Stream) -> bool {
        let dtype = stream.dtype.filter(|_| info.format != Format::String);
        dtype == self.dtype && as_seen(info) == as_seen(&self.info)
    }

    /// Adds a sample, taken at `time`. Whether there is enough to be pushed.
    pub(crate) fn add(&mut self, sample: &Sample<'_>, time: i64) -> bool {
        let bytes = match self.dtype {
            Some(_) if self.size.is_some_and(|size| size != sample.bytes.len()) => {
                return false;
            }
            Some(dtype) => values::widen(dtype, sample.bytes, &mut self.room),
            None => sample.bytes,
        };
        self.newest = time;
        self.outlet.add(bytes, values::seconds(time));
        let (n, bytes) = self.outlet.gathered();
        n >= MOST_SAMPLES || bytes >= MOST_BYTES
    }

    /// Adds a sample of nothing but NaN, if there is one, just after the last.
    pub(crate) fn add_nan(&mut self, time: i64) {
        let nan = match self.info.format {
            Format::Float32 => f32::NAN.to_le_bytes().to_vec(),
            Format::Double64 => f64::NAN.to_le_bytes().to_vec(),
            _ => return,
        };
        let values = nan.repeat(self.info.channel_count as usize);
        self.newest = time;
        self.outlet.add(&values, values::seconds(time));
    }

    /// The time of the newest sample.
    pub(crate) fn newest(&self) -> i64 {
        self.newest
    }

    /// Bytes, as they are written, that may wait for a consumer before the next push.
    pub(crate) fn limit(&mut self, now: i64) -> u64 {
        // Half of the queue, as what is pushed now comes on top of what waits.
        let half = u64::from(self.capacity / 2) * self.outlet.sample_len();
        match self.haste.is_there(self.newest, now) {
            true => half.min(FEW_BYTES.max(4 * self.outlet.sample_len())),
            false => half,
        }
    }
}

/// What consumers see of a stream, but for what only we read.
fn as_seen(info: &Info) -> Info {
    let mut seen = info.clone();
    seen.desc.remove("framepipe");
    seen
}

/// Opens it: kept apart from [`Track::new`], as this needs liblsl.
pub(crate) fn open(
    library: &std::sync::Arc<libframe_lsl::library::Library>,
    info: Info,
    stream: &Stream,
    description: u32,
    queue: u64,
) -> Result<Track> {
    let capacity = capacity(&info, queue);
    let outlet = Outlet::open(library, &info, capacity)?;
    Ok(Track::new(outlet, info, stream, description, capacity))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_holds_what_the_user_said_and_no_more_than_consumers_keep() {
        let info =
            |channels, rate| Info { channel_count: channels, rate, ..Info::default() };
        assert_eq!(capacity(&info(1, 10.0), 1 << 30), 3600);
        assert_eq!(capacity(&info(1, 0.0), 1 << 30), 36_000);
        assert_eq!(capacity(&info(1, 1e12), 16), 64);
        let samples = u64::from(capacity(&info(161, 200.0), 16 << 20));
        assert!((1000..16_000_000 / 644).contains(&samples), "{samples}");
    }
}
