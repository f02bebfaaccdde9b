//! Recordings in HDF5: their columns are looked at without making records of them.
//!
//! Records without samples come first and in their order; then the columns of each stream,
//! and with them, once more, the gaps of that stream: each before the first sample that is
//! beyond it, as it was in the pipe.

use std::path::Path;

use anyhow::Result;
use libframe::decoder::Item;
use libframe::payload::{Gap, Payload as _};
use libframe::tool::Account;
use libframe::wire::{Header, Kind};
use libframe_record::{Recording, Records, SessionInfo, State, StreamInfo};

use crate::report::Ending;
use crate::session::SessionView;
use crate::stream::Columns;

/// Looks through a recording, and books what is missing in it.
pub(crate) fn read(
    file: &Path,
    exact_limit: u64,
    account: &mut Account,
) -> Result<Vec<(SessionView, Ending)>> {
    let recording = Recording::open(file)?;
    let (infos, streams) = (recording.sessions()?, recording.streams()?);
    let new = |info: &SessionInfo| SessionView::new(info.tag, exact_limit);
    let mut views: Vec<SessionView> = infos.iter().map(new).collect();
    let mut with_gaps = vec![false; streams.len()];
    let mut others = recording.others()?;
    while let Some(item) = others.read()? {
        let Item::Record(record) = item else { continue };
        let header = record.header;
        let Some(at) = infos.iter().position(|info| info.tag == header.session) else {
            continue;
        };
        if header.kind == Kind::GAP && header.stream != 0 {
            let of = |stream: &StreamInfo| {
                (stream.session, stream.number) == (at, header.stream)
            };
            let stream = streams.iter().position(of);
            stream
                .and_then(|at| with_gaps.get_mut(at))
                .into_iter()
                .for_each(|g| *g = true);
        } else if header.kind != Kind::STREAM {
            views[at].take_other(&header, record.payload);
        }
    }
    for (stream, has_gaps) in streams.iter().zip(with_gaps) {
        let Some(view) = views.get_mut(stream.session) else { continue };
        let tag = view.tag;
        let gaps = has_gaps.then(|| Gaps::open(&recording, tag, stream.number));
        view.describe(stream.number, &stream.description);
        take_columns(view, &recording, stream, gaps.transpose()?)?;
    }
    let all = views.into_iter().zip(&infos);
    Ok(all.map(|(view, info)| finish(view, info, &recording, account)).collect())
}

fn take_columns(
    view: &mut SessionView,
    recording: &Recording,
    stream: &StreamInfo,
    mut gaps: Option<Gaps>,
) -> Result<()> {
    let mut columns = recording.columns(stream)?;
    while let Some(block) = columns.next_block()? {
        let rows =
            Columns { time: block.time, seq: block.seq, device_time: block.device_time };
        let mut from = 0;
        while let Some(gaps) = &mut gaps
            && let Some(beyond) = gaps.next_beyond(&rows, from)
        {
            view.take(stream.number, rows.part(from, beyond));
            from = beyond;
            gaps.give(view)?;
        }
        view.take(stream.number, rows.part(from, rows.time.len()));
    }
    while let Some(gaps) = &mut gaps
        && gaps.next.is_some()
    {
        gaps.give(view)?;
    }
    Ok(())
}

/// The gaps of one stream, in order; read as they are needed, for there may be many.
struct Gaps {
    records: Records,
    session: u32,
    stream: u16,
    next: Option<(Header, Vec<u8>)>,
}

impl Gaps {
    fn open(recording: &Recording, session: u32, stream: u16) -> Result<Gaps> {
        let mut gaps = Gaps { records: recording.others()?, session, stream, next: None };
        gaps.advance()?;
        Ok(gaps)
    }

    fn advance(&mut self) -> Result<()> {
        self.next = None;
        while let Some(item) = self.records.read()? {
            let Item::Record(record) = item else { continue };
            let header = record.header;
            let ours = (header.session, header.stream) == (self.session, self.stream);
            if ours && header.kind == Kind::GAP {
                self.next = Some((header, record.payload.to_vec()));
                break;
            }
        }
        Ok(())
    }

    /// The first row from `from` on that is beyond the next gap.
    fn next_beyond(&self, rows: &Columns<'_>, from: usize) -> Option<usize> {
        let (header, payload) = self.next.as_ref()?;
        let gap = Gap::from_bytes(payload).ok();
        let next =
            gap.filter(|gap| gap.count.is_some()).map_or(header.seq, |gap| gap.next());
        rows.seq[from..].iter().position(|seq| *seq >= next).map(|at| from + at)
    }

    fn give(&mut self, view: &mut SessionView) -> Result<()> {
        if let Some((header, payload)) = &self.next {
            view.take_other(header, payload);
        }
        self.advance()
    }
}

/// Settles a session with its END, and enters it in the account.
fn finish(
    mut view: SessionView,
    info: &SessionInfo,
    recording: &Recording,
    account: &mut Account,
) -> (SessionView, Ending) {
    if view.session.is_none() {
        view.session = Some(info.session.clone());
    }
    for totals in info.end.iter().flat_map(|end| &end.streams) {
        view.settle(totals);
    }
    for (number, stream) in view.streams.iter().filter(|(number, _)| **number != 0) {
        account.add_stream(&stream.ledger, || stream.name(*number));
    }
    let last_stage =
        || info.session.stages.last().map_or("its source", |stage| &stage.name);
    let broke_off = match (&info.end, recording.state()) {
        (Some(_), _) | (None, State::Growing) => view.broke_off.clone(),
        (None, _) => {
            Some(view.broke_off.clone().unwrap_or_else(|| last_stage().to_owned()))
        }
    };
    if let Some(stage) = &broke_off {
        account.add_broken(format!("{stage} broke off: its output stops without END"));
    }
    let reason = match (&info.end, recording.state()) {
        (Some(end), _) => end.reason.clone(),
        (None, _) => "still growing".into(),
    };
    (view, Ending { reason, broke_off })
}
