//! A recording as records, whatever its format.

use std::path::{Path, PathBuf};

use anyhow::Result;
use libframe::decoder::Item;
use libframe::payload::Session;
use libframe::wire::{Header, Record};

use super::frames::{self, FrameReader};
use super::h5::H5;
use super::play::Play;
use crate::xdf::{self, Xdf};

/// The records of a recording, in the order they had in the pipe.
pub struct Records {
    source: Source,
    samples: bool,
    kept: Vec<u8>,
}

enum Source {
    Frames(PathBuf, Box<FrameReader>),
    H5(Box<Play>),
    Xdf(Box<xdf::Ordered>),
    /// Of XDF, as it is stored.
    Stored(Box<xdf::Play>),
}

impl Records {
    pub(crate) fn of_frames(path: &Path) -> Result<Records> {
        let reader = Box::new(FrameReader::open(path)?);
        let source = Source::Frames(path.to_owned(), reader);
        Ok(Records { source, samples: true, kept: Vec::new() })
    }

    pub(crate) fn of_h5(h5: &H5, samples: bool) -> Result<Records> {
        let source = Source::H5(Box::new(Play::new(h5, samples)?));
        Ok(Records { source, samples: true, kept: Vec::new() })
    }

    pub(crate) fn of_xdf(xdf: &Xdf) -> Result<Records> {
        let source = Source::Xdf(Box::new(xdf::Ordered::new(xdf.play()?)));
        Ok(Records { source, samples: true, kept: Vec::new() })
    }

    pub(crate) fn of_stored_xdf(xdf: &Xdf) -> Result<Records> {
        let source = Source::Stored(Box::new(xdf.play()?));
        Ok(Records { source, samples: true, kept: Vec::new() })
    }

    pub(crate) fn without_samples(self) -> Records {
        Records { samples: false, ..self }
    }

    /// Begins each session at the time that `from` tells, or a little before: all records of
    /// that time and later come, and what describes their streams. To be called before the
    /// first read.
    pub fn start_at(
        &mut self,
        from: impl Fn(&Session) -> Option<i64> + 'static,
    ) -> Result<()> {
        match &mut self.source {
            Source::Frames(path, reader) => **reader = FrameReader::open_at(path, &from)?,
            Source::H5(play) => play.start_at(Box::new(from)),
            Source::Xdf(play) => play.start_at(from),
            Source::Stored(play) => play.start_at(from),
        }
        Ok(())
    }

    /// Leaves the rest of the session out. Returns false if it must be read through, since
    /// records of another session may be among it.
    pub fn skip_session(&mut self) -> Result<bool> {
        match &mut self.source {
            Source::H5(play) => Ok(play.skip_session()),
            Source::Xdf(play) => Ok(play.skip_session()),
            Source::Stored(play) => Ok(play.skip_session()),
            Source::Frames(path, reader) => match frames::has_one_session(path)? {
                true => {
                    **reader = FrameReader::at_end(path)?;
                    Ok(true)
                }
                false => Ok(false),
            },
        }
    }

    /// The next record, or what could not be read; `None` after the last.
    #[inline]
    pub fn read(&mut self) -> Result<Option<Item<'_>>> {
        match self.samples {
            true => self.source.read(),
            false => {
                let header = next_without_samples(&mut self.source, &mut self.kept)?;
                let record = header.map(|header| Record::new(header, &self.kept));
                Ok(record.map(Item::Record))
            }
        }
    }
}

impl Source {
    #[inline]
    fn read(&mut self) -> Result<Option<Item<'_>>> {
        match self {
            Source::H5(play) => play.read(),
            Source::Xdf(play) => play.read(),
            Source::Stored(play) => play.read(),
            Source::Frames(_, reader) => Ok(reader.read()?.map(|(_, item)| item)),
        }
    }
}

/// The next record that holds no samples, copied: most are passed over.
fn next_without_samples(from: &mut Source, to: &mut Vec<u8>) -> Result<Option<Header>> {
    while let Some(item) = from.read()? {
        if let Item::Record(record) = item
            && !record.header.kind.has_samples()
        {
            to.clear();
            to.extend_from_slice(record.payload);
            return Ok(Some(record.header));
        }
    }
    Ok(None)
}
