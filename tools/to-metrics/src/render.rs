//! The page: each family once, its samples below it.

use crate::exposition::{Dialect, Family, Page, Value};
use crate::families::{self, Column, Instant};
use crate::figures::Figures;
use crate::label::Labels;
use crate::table::Table;

/// What the server says of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Serving {
    /// Requests by status.
    pub(crate) requests: Vec<(u16, u64)>,
    pub(crate) connections: usize,
    pub(crate) evictions: u64,
    /// How long the last page took, ns.
    pub(crate) render: i64,
}

/// How pages are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) dialect: Dialect,
    /// Buckets of an octave.
    pub(crate) buckets: usize,
}

/// Writes the page. Without `serving` it is for a file, which is read later: nothing in it
/// depends on when that is.
pub(crate) fn render(
    figures: &Figures,
    style: Style,
    now: Instant,
    serving: Option<&Serving>,
    room: usize,
) -> String {
    let mut page = Page::new(style.dialect, style.buckets, String::with_capacity(room));
    streams(&mut page, figures, now, serving.is_some());
    table(&mut page, families::LOSS, &figures.losses, now);
    stages(&mut page, figures, now);
    page.begin(&families::EVENTS);
    for (labels, n, _) in figures.events.iter() {
        page.sample(labels.as_str(), Value::Int(*n));
    }
    table(&mut page, families::CLOCK, &figures.clocks, now);
    table(&mut page, families::REMOTE, &figures.remotes, now);
    table(&mut page, families::DAMAGE, &figures.damage, now);
    sessions(&mut page, figures, now);
    input(&mut page, figures);
    if let Some(serving) = serving {
        server(&mut page, serving);
    }
    page.finish()
}

fn table<R: Default>(
    page: &mut Page,
    columns: &[Column<R>],
    rows: &Table<R>,
    now: Instant,
) {
    for (family, value) in columns {
        page.begin(family);
        for (labels, row, _) in rows.iter() {
            if let Some(value) = value(row, now) {
                page.sample(labels.as_str(), value);
            }
        }
    }
}

fn infos<'a>(
    page: &mut Page,
    family: &Family,
    labels: impl Iterator<Item = Option<&'a Labels>>,
) {
    page.begin(family);
    for labels in labels.flatten() {
        page.sample(labels.as_str(), Value::Int(1));
    }
}

fn streams(page: &mut Page, figures: &Figures, now: Instant, with_age: bool) {
    table(page, families::STREAM_COUNTS, &figures.streams, now);
    table(page, families::STREAM_MISSING, &figures.streams, now);
    // What is of one stream alone makes no sense of many.
    let own = || figures.streams.iter().filter(|(_, _, own)| *own);
    for (family, value) in families::STREAM {
        let is_age = family.name == "framepipe_stream_last_sample_age_seconds";
        if is_age && !with_age {
            continue;
        }
        page.begin(family);
        for (labels, row, _) in own() {
            if let Some(value) = value(row, now) {
                page.sample(labels.as_str(), value);
            }
        }
    }
    infos(page, &families::STREAM_INFO, own().map(|(_, row, _)| row.info.as_ref()));
}

fn stages(page: &mut Page, figures: &Figures, now: Instant) {
    table(page, families::STAGE, &figures.stages, now);
    page.begin(&families::STAGE_HOP);
    for (labels, row, _) in figures.stages.iter() {
        page.durations(labels.as_str(), &row.hop);
    }
    page.begin(&families::STAGE_AGE);
    for (labels, row, _) in figures.stages.iter() {
        page.durations(labels.as_str(), row.age());
    }
    let own = figures.stages.iter().filter(|(_, _, own)| *own);
    infos(page, &families::STAGE_INFO, own.map(|(_, row, _)| row.info.as_ref()));
}

fn sessions(page: &mut Page, figures: &Figures, now: Instant) {
    for (family, n) in [
        (families::SESSIONS_BEGUN, figures.begun),
        (families::SESSIONS_ENDED, figures.ended),
        (families::SESSIONS_BROKEN_OFF, figures.broken_off),
    ] {
        page.begin(&family);
        page.sample("", Value::Int(n));
    }
    for (family, value) in families::SESSION {
        page.begin(family);
        for session in &figures.sessions {
            if let Some(value) = value(session, now) {
                page.sample(session.labels.as_str(), value);
            }
        }
    }
    let all = figures.sessions.iter();
    infos(page, &families::SESSION_INFO, all.map(|session| Some(&session.info)));
}

fn input(page: &mut Page, figures: &Figures) {
    page.begin(&families::INPUT_OVER);
    page.sample("", Value::bool(figures.is_over));
    page.begin(&families::LIMIT_REACHED);
    for (names, over) in [
        ("stream", figures.streams.is_over()),
        ("loss", figures.losses.is_over()),
        ("stage", figures.stages.is_over()),
        ("event", figures.events.is_over()),
        ("clock", figures.clocks.is_over() || figures.remotes.is_over()),
    ] {
        page.sample(&format!("names=\"{names}\""), Value::bool(over));
    }
    page.begin(&families::BUILD_INFO);
    let version = Labels::new(&[("version", env!("CARGO_PKG_VERSION"))]);
    page.sample(version.as_str(), Value::Int(1));
}

fn server(page: &mut Page, serving: &Serving) {
    page.begin(&families::REQUESTS);
    for (code, n) in &serving.requests {
        page.sample(&format!("code=\"{code}\""), Value::Int(*n));
    }
    page.begin(&families::CONNECTIONS);
    page.sample("", Value::Int(serving.connections as u64));
    page.begin(&families::EVICTIONS);
    page.sample("", Value::Int(serving.evictions));
    page.begin(&families::RENDER);
    page.sample("", Value::seconds(serving.render));
}
