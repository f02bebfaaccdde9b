//! Recordings of any format as the input of a tool.

use std::collections::VecDeque;
use std::path::PathBuf;

use anyhow::Result;
use libframe::decoder::Item;
use libframe::tool::{Origin, Recorded};

use crate::read::records::Records;
use crate::recording::{Recording, is_other};

/// Recordings one after another; stdin if there are none, or one that is called `-`.
///
/// Where all are made of records, their bytes are read as they come from a pipe. Others give
/// their records as they are stored.
pub fn origin(files: Vec<PathBuf>) -> Result<Origin> {
    if !files.iter().any(|file| is_other(file)) {
        return Origin::files(files);
    }
    let (mut rest, mut complaints) = (VecDeque::new(), Vec::new());
    for file in files {
        let recording = Recording::open(file)?;
        complaints.extend(recording.complaint());
        rest.push_back(recording);
    }
    let name = rest.front().map(|first| first.path().display().to_string());
    let queue = Box::new(Queue { current: None, rest });
    let origin = Origin::recorded(name.unwrap_or_default(), queue);
    Ok(complaints.into_iter().fold(origin, Origin::complain))
}

/// Recordings whose records come one after another.
struct Queue {
    current: Option<Records>,
    rest: VecDeque<Recording>,
}

impl Recorded for Queue {
    fn read(&mut self) -> Result<Option<Item<'_>>> {
        match &mut self.current {
            Some(records) => records.read(),
            None => Ok(None),
        }
    }

    fn go_on(&mut self) -> Result<bool> {
        let next = self.rest.pop_front();
        self.current = next.map(|recording| recording.stored()).transpose()?;
        Ok(self.current.is_some())
    }
}
