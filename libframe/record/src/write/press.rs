//! Chunks are compressed here, in threads of their own, and then written ready-made.
//!
//! HDF5 would compress them with zlib in the thread that writes: half as fast, on one core.

use std::fmt;
use std::num::NonZero;
use std::rc::Rc;
use std::str::FromStr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle, available_parallelism};

use anyhow::{Context as _, Result, anyhow};
use libdeflater::{CompressionLvl, Compressor, Decompressor};

use crate::driver::{Shared, lock};
use crate::h5::{Dataset, Filter};

/// Chunks that may be on their way.
const MAX_JOBS: usize = 8;
/// Their bytes; one chunk may be longer.
const MAX_BYTES: usize = 8 << 20;
/// A shorter chunk is compressed sooner than a thread wakes up.
const AT_ONCE: usize = 16 << 10;
const MAX_THREADS: usize = 4;

/// How `data` is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compress {
    /// Not at all.
    None,
    /// Readable for every HDF5.
    Deflate(u8),
    /// Readable with a plug-in, like Python's hdf5plugin.
    Zstd(u8),
}

impl Default for Compress {
    fn default() -> Compress {
        Compress::Deflate(1)
    }
}

impl fmt::Display for Compress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Compress::None => f.write_str("none"),
            Compress::Deflate(level) => write!(f, "deflate:{level}"),
            Compress::Zstd(level) => write!(f, "zstd:{level}"),
        }
    }
}

impl FromStr for Compress {
    type Err = String;

    fn from_str(text: &str) -> Result<Compress, String> {
        let hint = || format!("{text:?}: say none, deflate:1 to deflate:9, zstd:1 to 19");
        let (name, level) = text.split_once(':').unwrap_or((text, "1"));
        let level: u8 = level.parse().map_err(|_| hint())?;
        match (name, level) {
            ("none", _) if text == "none" => Ok(Compress::None),
            ("deflate", 1..=9) => Ok(Compress::Deflate(level)),
            ("zstd", 1..=19) => Ok(Compress::Zstd(level)),
            _ => Err(hint()),
        }
    }
}

/// What a column's chunks go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Coding {
    /// Bytes of a number whose bytes are put in order of their weight; 1 for no order.
    pub(crate) shuffle: usize,
    pub(crate) compress: Compress,
}

impl Coding {
    /// The same in the words of HDF5.
    pub(crate) fn filters(self) -> Vec<Filter> {
        let shuffle = (self.shuffle > 1).then_some(Filter::Shuffle(self.shuffle as u32));
        let compress = match self.compress {
            Compress::None => None,
            Compress::Deflate(level) => Some(Filter::Deflate(level.into())),
            Compress::Zstd(level) => Some(Filter::Zstd(level.into())),
        };
        shuffle.into_iter().chain(compress).collect()
    }
}

/// A chunk on its way through a thread.
struct Job {
    slot: usize,
    raw: Vec<u8>,
    coding: Coding,
}

/// A chunk as it will be in the file.
struct Coded {
    slot: usize,
    /// To be used again.
    raw: Vec<u8>,
    bytes: Result<Vec<u8>>,
    skipped: u32,
}

/// Where a chunk goes.
struct Place {
    set: Rc<Dataset>,
    chunk: u64,
    /// Rows that the dataset has with it.
    rows: u64,
    len: usize,
    /// It is in the file already, as it was before.
    again: bool,
}

/// Compresses chunks and writes them.
pub(crate) struct Press {
    jobs: Option<SyncSender<Job>>,
    coded: Receiver<Coded>,
    threads: Vec<JoinHandle<()>>,
    places: Vec<Option<Place>>,
    bytes: usize,
    spare: Vec<Vec<u8>>,
    own: Coder,
    file: Shared,
}

impl Press {
    pub(crate) fn start(file: &Shared) -> Result<Press> {
        let (jobs, waiting) = sync_channel(MAX_JOBS);
        let (done, coded) = sync_channel(MAX_JOBS);
        let waiting = Arc::new(Mutex::new(waiting));
        let cores = available_parallelism().map_or(1, NonZero::get);
        let thread = |number| {
            let (waiting, done) = (Arc::clone(&waiting), done.clone());
            let name = format!("compress-{number}");
            Builder::new().name(name).spawn(move || compress(&waiting, &done))
        };
        let threads = (1..=cores.min(MAX_THREADS)).map(thread);
        Ok(Press {
            jobs: Some(jobs),
            coded,
            threads: threads.collect::<Result<_, _>>()?,
            places: (0..MAX_JOBS).map(|_| None).collect(),
            bytes: 0,
            spare: Vec::new(),
            own: Coder::default(),
            file: Arc::clone(file),
        })
    }

    /// A buffer that was used before, if there is one.
    pub(crate) fn buffer(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    /// Takes a whole chunk. It is in the file after [`Press::drain`].
    pub(crate) fn put(
        &mut self,
        set: &Rc<Dataset>,
        (chunk, rows, again): (u64, u64, bool),
        raw: Vec<u8>,
        coding: Coding,
    ) -> Result<()> {
        let place = Place { set: Rc::clone(set), chunk, rows, len: raw.len(), again };
        if raw.len() <= AT_ONCE || coding.compress == Compress::None {
            let coded = self.own.encode(0, raw, coding);
            return self.write(&place, coded);
        }
        while self.bytes > 0 && self.bytes + raw.len() > MAX_BYTES {
            self.receive()?;
        }
        let slot = loop {
            match self.places.iter().position(Option::is_none) {
                Some(slot) => break slot,
                None => self.receive()?,
            }
        };
        self.bytes += place.len;
        self.places[slot] = Some(place);
        let jobs = self.jobs.as_ref().context("the threads that compress have ended")?;
        jobs.send(Job { slot, raw, coding })
            .map_err(|_| anyhow!("the threads that compress have ended"))
    }

    /// Waits until all that was taken is written.
    pub(crate) fn drain(&mut self) -> Result<()> {
        while self.places.iter().any(Option::is_some) {
            self.receive()?;
        }
        Ok(())
    }

    fn receive(&mut self) -> Result<()> {
        let coded = self.coded.recv().context("the threads that compress have ended")?;
        match self.places[coded.slot].take() {
            Some(place) => {
                self.bytes -= place.len;
                self.write(&place, coded)
            }
            None => Ok(()),
        }
    }

    fn write(&mut self, place: &Place, mut coded: Coded) -> Result<()> {
        place.set.grow(place.rows)?;
        let before =
            if place.again { Some(place.set.place_of(place.chunk)?) } else { None };
        place.set.write_chunk(place.chunk, coded.skipped, &coded.bytes?)?;
        if let Some((at, len)) = before
            && place.set.place_of(place.chunk)?.0 != at
        {
            lock(&self.file).give_back(at, len);
        }
        if self.spare.len() < MAX_JOBS {
            coded.raw.clear();
            self.spare.push(coded.raw);
        }
        Ok(())
    }
}

impl Drop for Press {
    fn drop(&mut self) {
        drop(self.jobs.take());
        for thread in self.threads.drain(..) {
            // What it could panic of, nobody waits for any more.
            drop(thread.join());
        }
    }
}

fn compress(waiting: &Mutex<Receiver<Job>>, done: &SyncSender<Coded>) {
    let mut coder = Coder::default();
    loop {
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        if done.send(coder.encode(job.slot, job.raw, job.coding)).is_err() {
            return;
        }
    }
}

/// One thread's compressor.
#[derive(Default)]
struct Coder {
    deflate: Option<(u8, Compressor)>,
    shuffled: Vec<u8>,
}

impl Coder {
    fn encode(&mut self, slot: usize, raw: Vec<u8>, coding: Coding) -> Coded {
        let mut shuffled = std::mem::take(&mut self.shuffled);
        let bytes = match coding.shuffle {
            0 | 1 => &raw,
            size => {
                shuffle(&raw, size, &mut shuffled);
                &shuffled
            }
        };
        let coded = self.compress(bytes, coding.compress);
        self.shuffled = shuffled;
        match coded {
            // Pictures do not get shorter.
            Ok(bytes) if bytes.len() < raw.len() => {
                Coded { slot, raw, bytes: Ok(bytes), skipped: 0 }
            }
            Ok(_) => {
                let skipped = (1 << coding.filters().len()) - 1;
                Coded { slot, raw: Vec::new(), bytes: Ok(raw), skipped }
            }
            Err(err) => Coded { slot, raw, bytes: Err(err), skipped: 0 },
        }
    }

    /// The bytes compressed; as many as there were if they are not to be.
    fn compress(&mut self, bytes: &[u8], how: Compress) -> Result<Vec<u8>> {
        match how {
            Compress::None => Ok(bytes.to_vec()),
            Compress::Zstd(level) => Ok(zstd::bulk::compress(bytes, level.into())?),
            Compress::Deflate(level) => {
                let deflate = match &mut self.deflate {
                    Some((of, deflate)) if *of == level => deflate,
                    other => {
                        let of = CompressionLvl::new(level.into());
                        let of = of.map_err(|err| anyhow!("deflate:{level}: {err:?}"))?;
                        &mut other.insert((level, Compressor::new(of))).1
                    }
                };
                let mut coded = vec![0; deflate.zlib_compress_bound(bytes.len())];
                let n = deflate.zlib_compress(bytes, &mut coded)?;
                coded.truncate(n);
                Ok(coded)
            }
        }
    }
}

/// What [`Press::put`] took, of what is in the file.
pub(crate) fn decode(
    coding: Coding,
    skipped: u32,
    bytes: Vec<u8>,
    len: usize,
) -> Result<Vec<u8>> {
    if skipped != 0 {
        return Ok(bytes);
    }
    let plain = match coding.compress {
        Compress::None => bytes,
        Compress::Zstd(_) => zstd::bulk::decompress(&bytes, len)?,
        Compress::Deflate(_) => {
            let mut plain = vec![0; len];
            let n = Decompressor::new().zlib_decompress(&bytes, &mut plain)?;
            plain.truncate(n);
            plain
        }
    };
    if coding.shuffle <= 1 {
        return Ok(plain);
    }
    let mut ordered = vec![0; plain.len()];
    let n = plain.len() / coding.shuffle;
    for (at, byte) in ordered.iter_mut().enumerate() {
        *byte = plain[at % coding.shuffle * n + at / coding.shuffle];
    }
    Ok(ordered)
}

/// All first bytes of the numbers, then all second ones, as HDF5's filter has it.
fn shuffle(raw: &[u8], size: usize, to: &mut Vec<u8>) {
    to.clear();
    to.resize(raw.len(), 0);
    match size {
        2 => transpose::<2>(raw, to),
        4 => transpose::<4>(raw, to),
        8 => transpose::<8>(raw, to),
        _ => to.copy_from_slice(raw),
    }
}

fn transpose<const N: usize>(raw: &[u8], to: &mut [u8]) {
    let (numbers, _) = raw.as_chunks::<N>();
    for (place, plane) in to.chunks_exact_mut(numbers.len().max(1)).enumerate() {
        for (byte, number) in plane.iter_mut().zip(numbers) {
            *byte = number[place];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_coded_comes_back() {
        let raw: Vec<u8> =
            (0..1000u64).flat_map(|n| (n * n * 1_000_003).to_le_bytes()).collect();
        for compress in [Compress::None, Compress::Deflate(1), Compress::Zstd(3)] {
            for shuffle in [1, 8] {
                let coding = Coding { shuffle, compress };
                let coded = Coder::default().encode(0, raw.clone(), coding);
                let bytes = coded.bytes.unwrap();
                let back = decode(coding, coded.skipped, bytes, raw.len()).unwrap();
                assert!(back == raw, "{coding:?}");
            }
        }
    }

    #[test]
    fn levels_are_checked() {
        assert_eq!("deflate:9".parse(), Ok(Compress::Deflate(9)));
        assert_eq!("zstd".parse(), Ok(Compress::Zstd(1)));
        for wrong in ["deflate:0", "deflate:10", "zstd:20", "none:1", "lzf", "deflate:x"]
        {
            assert!(wrong.parse::<Compress>().is_err(), "{wrong}");
        }
    }
}
