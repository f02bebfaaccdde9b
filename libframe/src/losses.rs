//! Who lost which samples: the account of a session, as all who report on it tell it.
//!
//! The numbers of samples say how many are missing, and GAPs by whom and why. A loss that is
//! only noticed, and that no stage owns up to, is *unexplained*: something dropped samples in
//! silence, which must not be. What stages counted in STATS then tells where to look, if it
//! is all there; it proves nothing by itself, for a stage may leave out what it was asked to.

use serde::Serialize;

use crate::ledger::{Loss, StreamLedger};
use crate::payload::{Gap, Stage};
use crate::stages::StageReport;

/// What one stage lost of a stream for one reason.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LossReport {
    /// How many samples.
    pub samples: u64,
    /// In how many places.
    pub places: u64,
    /// In how many of them it is not known how many.
    pub unknown: u64,
    /// How many samples came without some of their channels.
    pub partial: u64,
    /// Why.
    pub reason: &'static str,
    /// Who lost them, or only noticed.
    pub stage: String,
    /// Whether that stage, or the damage, accounts for them.
    pub explained: bool,
}

impl LossReport {
    fn new(loss: &Loss) -> LossReport {
        LossReport {
            samples: loss.samples,
            places: loss.places,
            unknown: loss.unknown,
            partial: loss.partial,
            reason: loss.reason.name(),
            stage: loss.stage.clone(),
            explained: loss.reason.is_explained(),
        }
    }

    /// All losses of a stream, also those that late samples made good.
    pub fn of_stream(ledger: &StreamLedger) -> Vec<LossReport> {
        ledger.losses().iter().map(LossReport::new).collect()
    }

    /// `3`, or `3 and 480 incomplete`, with numbers as the reader of the report likes them.
    pub fn size(&self, number: impl Fn(u64) -> String) -> String {
        match self.partial {
            0 => number(self.samples),
            n => format!("{} and {} incomplete", number(self.samples), number(n)),
        }
    }

    /// Whether anything of it is still missing.
    pub fn is_open(&self) -> bool {
        [self.samples, self.unknown, self.partial] != [0; 3]
    }

    /// `device, by sim-src`; `UNEXPLAINED, noticed by to-h5`.
    pub fn who(&self) -> String {
        who(self.reason, &self.stage, self.explained)
    }
}

fn who(reason: &str, stage: &str, explained: bool) -> String {
    let stage = if stage.is_empty() { "a stage without a name" } else { stage };
    match explained {
        true => format!("{reason}, by {stage}"),
        false => format!("UNEXPLAINED, noticed by {stage}"),
    }
}

/// Samples that are missing in one place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GapReport {
    /// The first of them.
    pub first_sample: u64,
    /// How many; none if unknown.
    pub count: Option<u64>,
    /// Why.
    pub reason: &'static str,
    /// Who lost them, or only noticed.
    pub stage: String,
    /// Whether that accounts for them.
    pub explained: bool,
    /// How many samples came without these channels, in a partial gap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partial: Option<u64>,
    /// See there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<u32>,
    /// What happened, for people.
    pub detail: String,
    /// The capture times before and after, as far as they are known.
    pub from_ns: Option<i64>,
    /// See there.
    pub to_ns: Option<i64>,
}

impl GapReport {
    /// How a GAP is told of.
    pub fn new(gap: &Gap) -> GapReport {
        GapReport {
            first_sample: gap.first,
            count: gap.count,
            reason: gap.reason.name(),
            stage: gap.stage.clone(),
            explained: gap.reason.is_explained(),
            partial: gap.partial,
            channels: gap.channels.clone(),
            detail: gap.detail.clone(),
            from_ns: gap.from,
            to_ns: gap.to,
        }
    }

    /// How many samples it is about: `3`, `480 incomplete`, `an unknown number`.
    pub fn size(&self, number: impl Fn(u64) -> String) -> String {
        match (self.count, self.partial) {
            (Some(count), _) => number(count),
            (None, Some(partial)) => format!("{} incomplete", number(partial)),
            (None, None) => "an unknown number".into(),
        }
    }

    /// As [`LossReport::who`].
    pub fn who(&self) -> String {
        who(self.reason, &self.stage, self.explained)
    }
}

/// The account of a session.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LedgerReport {
    /// `GOOD`: nothing is missing. `WARNING`: something is, and somebody owns up to all of
    /// it. `FAIL`: something is unexplained.
    pub verdict: &'static str,
    /// Samples that were numbered: from the first that is known of each stream to the last.
    pub numbered: u64,
    /// Samples that came.
    pub samples: u64,
    /// Samples that are missing.
    pub lost: u64,
    /// Those that somebody owns up to.
    pub explained: u64,
    /// Those that nobody does.
    pub unexplained: u64,
    /// Places where it is not known how many are missing; those take no numbers.
    pub unknown: u64,
    /// Those of them that nobody owns up to.
    pub unexplained_unknown: u64,
    /// Samples that came without some of their channels.
    pub partial: u64,
    /// Whether the sums agree: what came and each loss make up what was numbered.
    pub balanced: bool,
    /// Whether the session broke off, so that more may be missing at its end.
    pub open_ended: bool,
    /// Each loss, the greatest first.
    pub losses: Vec<SessionLoss>,
}

/// What one stage lost for one reason, over all streams.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SessionLoss {
    /// The sum.
    #[serde(flatten)]
    pub loss: LossReport,
    /// The streams.
    pub streams: Vec<String>,
    /// Of what is unexplained: the stage before the one that noticed.
    pub after: Option<String>,
    /// Samples that the stage before sent, and that the one that noticed read; only if
    /// their STATS are all there.
    pub sent: Option<u64>,
    /// See there.
    pub read: Option<u64>,
    /// Where it must have been by these: `between` the two, or `before`: not sent at all.
    pub place: Option<&'static str>,
}

impl LedgerReport {
    /// Draws up the account of streams, by name. `stages` are those of the session and
    /// `sums` what they counted.
    pub fn new<'a>(
        streams: impl Iterator<Item = (String, &'a StreamLedger)>,
        stages: &[Stage],
        sums: &[StageReport],
        open_ended: bool,
    ) -> LedgerReport {
        let mut report =
            LedgerReport { open_ended, balanced: true, ..Default::default() };
        for (name, ledger) in streams {
            report.add(&name, ledger);
        }
        let all: Vec<_> = report.losses.iter().map(|loss| loss.loss.clone()).collect();
        for loss in report.losses.iter_mut().filter(|loss| !loss.loss.explained) {
            loss.look_for_place(stages, sums, &all);
        }
        report.losses.sort_by_key(|loss| std::cmp::Reverse(loss.loss.samples));
        report.verdict = match report.unexplained + report.unexplained_unknown {
            0 if report.balanced
                && [report.lost, report.unknown, report.partial] == [0; 3] =>
            {
                "GOOD"
            }
            0 if report.balanced => "WARNING",
            _ => "FAIL",
        };
        report
    }

    fn add(&mut self, name: &str, ledger: &StreamLedger) {
        let numbered = ledger.first().map_or(0, |first| ledger.next() - first);
        let losses = LossReport::of_stream(ledger);
        let sum: u64 = losses.iter().map(|loss| loss.samples).sum();
        self.numbered = self.numbered.saturating_add(numbered);
        self.samples = self.samples.saturating_add(ledger.samples());
        self.lost = self.lost.saturating_add(ledger.lost());
        self.balanced &= ledger.samples().saturating_add(ledger.lost()) == numbered;
        self.balanced &= sum == ledger.lost();
        for loss in losses.into_iter().filter(LossReport::is_open) {
            let (known, unknown) = match loss.explained {
                true => (&mut self.explained, None),
                false => (&mut self.unexplained, Some(&mut self.unexplained_unknown)),
            };
            *known = known.saturating_add(loss.samples);
            unknown.into_iter().for_each(|sum| *sum += loss.unknown);
            self.unknown += loss.unknown;
            self.partial = self.partial.saturating_add(loss.partial);
            self.add_loss(name, loss);
        }
    }

    fn add_loss(&mut self, name: &str, loss: LossReport) {
        let same = |other: &&mut SessionLoss| {
            (other.loss.reason, &other.loss.stage) == (loss.reason, &loss.stage)
        };
        let Some(sum) = self.losses.iter_mut().find(same) else {
            let streams = vec![name.to_owned()];
            let (after, sent, read, place) = (None, None, None, None);
            self.losses.push(SessionLoss { loss, streams, after, sent, read, place });
            return;
        };
        sum.loss.samples = sum.loss.samples.saturating_add(loss.samples);
        sum.loss.places += loss.places;
        sum.loss.unknown += loss.unknown;
        sum.loss.partial = sum.loss.partial.saturating_add(loss.partial);
        sum.streams.push(name.into());
    }

    /// What is wrong if something is unexplained, for people.
    pub fn objection(&self) -> Option<String> {
        if self.verdict != "FAIL" {
            return None;
        }
        let (n, of) = (self.unexplained, self.numbered);
        if n + self.unexplained_unknown == 0 {
            return Some(format!("the sums of {of} samples do not agree"));
        }
        let more = match self.unexplained_unknown {
            0 => String::new(),
            places => format!(", and an unknown number more, gaps: {places}"),
        };
        let whose = self.losses.iter().find(|loss| !loss.loss.explained)?;
        let evidence = whose.evidence().map(|text| format!(": {text}"));
        let (by, evidence) = (&whose.loss.stage, evidence.unwrap_or_default());
        Some(format!(
            "{n} of {of} samples are missing{more}, and no stage owns up to it; noticed by \
             {by}{evidence}"
        ))
    }
}

impl SessionLoss {
    /// Finds out between which stages it was, and whether their counts tell more.
    fn look_for_place(
        &mut self,
        stages: &[Stage],
        sums: &[StageReport],
        all: &[LossReport],
    ) {
        // Where pipelines were merged, the stage before in the list may be of another.
        if sums.iter().filter(|sum| sum.origin).count() > 1 {
            return;
        }
        let noticed = stages.iter().position(|stage| stage.name == self.loss.stage);
        // Who is not among the stages reads behind all of them.
        let Some(at) = noticed.unwrap_or(stages.len()).checked_sub(1) else { return };
        self.after = stages.get(at).map(|stage| stage.name.clone());
        let sum = |at: usize| {
            let mut of_place = sums.iter().filter(|sum| sum.index as usize == at);
            of_place.next().filter(|sum| sum.complete && of_place.next().is_none())
        };
        self.sent = sum(at).map(|sum| sum.samples_out);
        self.read = noticed.and_then(sum).map(|sum| sum.samples_in);
        let (Some(sent), Some(read)) = (self.sent, self.read) else { return };
        // What was damaged on the way was sent and not read either.
        let here = all.iter().filter(|loss| loss.stage == self.loss.stage);
        let lost = |reason: &str| {
            let of_reason = here.clone().filter(|loss| loss.reason == reason);
            of_reason.map(|loss| i128::from(loss.samples)).sum::<i128>()
        };
        let vanished = i128::from(sent) - i128::from(read) - lost("corrupt");
        self.place = match vanished {
            0 => Some("before"),
            n if n == lost(self.loss.reason) => Some("between"),
            _ => None,
        };
    }

    /// `noticed by to-h5 after sim-src`, and what the counts tell; for what is unexplained.
    pub fn evidence(&self) -> Option<String> {
        let (after, by) = (self.after.as_ref()?, &self.loss.stage);
        Some(match (self.place, self.sent, self.read) {
            (Some("before"), Some(sent), _) => {
                format!(
                    "{after} never sent them: it sent {sent} samples, and {by} read all"
                )
            }
            (Some(_), Some(sent), Some(read)) => format!(
                "they vanished between {after} and {by}: {sent} were sent, {read} read"
            ),
            _ => format!("lost in {after}, before it, or on the way from there to {by}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Reason;

    fn ledger(reason: Reason, stage: &str) -> StreamLedger {
        let mut ledger = StreamLedger::default();
        ledger.take(0, 10, 0);
        let hole = ledger.take(13, 7, 0).unwrap();
        let count = Some(hole.end - hole.start);
        let (stage, detail) = (stage.into(), String::new());
        let gap =
            Gap { first: hole.start, count, reason, stage, detail, ..Gap::default() };
        ledger.explain(&gap);
        ledger
    }

    fn stages() -> Vec<Stage> {
        let stage = |name: &str| Stage { name: name.into(), ..Stage::default() };
        vec![stage("a"), stage("b")]
    }

    fn sums(sent: u64, read: u64) -> Vec<StageReport> {
        use crate::payload::{Flow, Stats};
        let mut sums = crate::stages::Stages::default();
        for (index, samples) in [(0, sent), (1, read)] {
            let (stage, flow) =
                (["a", "b"][index as usize].into(), Flow { samples, ..Flow::default() });
            let (number, last) = (Some(0), true);
            sums.take(Stats {
                stage,
                index,
                input: flow,
                output: flow,
                number,
                last,
                ..Stats::default()
            });
        }
        sums.reports()
    }

    #[test]
    fn what_is_owned_up_to_is_explained_and_the_sums_agree() {
        let (one, two) = (ledger(Reason::Queue, "a"), ledger(Reason::Queue, "a"));
        let streams = [("x".to_owned(), &one), ("y".to_owned(), &two)];
        let report = LedgerReport::new(streams.into_iter(), &stages(), &[], false);
        assert_eq!((report.verdict, report.balanced), ("WARNING", true));
        assert_eq!((report.numbered, report.samples, report.lost), (40, 34, 6));
        assert_eq!((report.explained, report.unexplained), (6, 0));
        assert_eq!(report.losses[0].streams, ["x", "y"]);
        assert_eq!((report.losses[0].loss.samples, report.losses[0].loss.places), (6, 2));
        assert_eq!(report.losses[0].after, None);
    }

    #[test]
    fn what_nobody_owns_up_to_fails_and_the_counts_tell_where_to_look() {
        let one = ledger(Reason::Upstream, "b");
        let report = |sums: &[StageReport]| {
            let streams = [("x".to_owned(), &one)];
            LedgerReport::new(streams.into_iter(), &stages(), sums, false)
        };
        let place = |sums: &[StageReport]| report(sums).losses[0].place;
        assert_eq!((report(&[]).verdict, report(&[]).unexplained), ("FAIL", 3));
        assert_eq!(report(&[]).losses[0].after.as_deref(), Some("a"));
        assert_eq!(place(&[]), None);
        assert_eq!(place(&sums(17, 17)), Some("before"));
        assert_eq!(place(&sums(20, 17)), Some("between"));
        // Where the counts do not fit, nothing is claimed.
        assert_eq!(place(&sums(18, 17)), None);
        assert_eq!(place(&sums(21, 17)), None);
        assert_eq!(place(&sums(20, 17)[..1]), None);
    }
}
