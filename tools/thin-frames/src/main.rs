//! Pass on fewer samples, as many as are wanted or as the reader can take.

mod args;
mod controller;
mod downstream;
mod newest;
mod pace;
mod plan;
mod resample;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use libframe::catalog::Catalog;
use libframe::decoder::Damage;
use libframe::ledger::Loss;
use libframe::payload::{Event, Payload as _, Session, Value};
use libframe::tool::{
    self, Account, Backlog, Ended, Filter, Flow, Output, Patterns, Plan as Planned,
    Queue, Room, Undescribed, Voice,
};
use libframe::wire::{Header, Kind, Record};

use crate::args::Args;
use crate::controller::Rule;
use crate::downstream::Downstream;
use crate::newest::Newest;
use crate::plan::{Method, Order, Plan};
use crate::resample::{Budget, MAX_MEMORY, Thinned, Wish};

struct Thin {
    chosen: Patterns,
    method: Method,
    newest: bool,
    plans: BTreeMap<(u32, u16), Plan>,
    voice: Voice,
    undescribed: Undescribed,
    budget: Budget,
    /// What could not be passed on, although it came.
    losses: Vec<(String, Loss)>,
    slots: Option<Arc<Newest>>,
    downstream: Option<Arc<Downstream>>,
}

fn main() -> ExitCode {
    tool::filter::<Thin>()
}

impl Filter for Thin {
    type Args = Args;

    const QUEUE: Queue = Queue::Size;

    fn plan(args: &Args, plan: &mut Planned) -> Result<()> {
        let chosen = Patterns::new("--stream", &args.stream)?;
        let method = args.method()?;
        let (mut number, mut result) = (0, Ok(()));
        plan.change(|flow| {
            number += 1;
            let named = chosen.hold(&flow.stream.name, number);
            if (named || chosen.is_empty())
                && let Err(err) = thin(flow, &method, named)
            {
                result = Err(err);
            }
            true
        });
        if matches!(method, Method::Resample(_)) {
            plan.memory += MAX_MEMORY as u64;
        }
        if args.newest || matches!(method, Method::Adaptive(_)) {
            plan.overload = "passes on fewer samples, numbered anew".into();
        }
        result
    }

    fn open(args: Args) -> Result<Thin> {
        let method = args.method()?;
        Ok(Thin {
            chosen: Patterns::new("--stream", &args.stream)?,
            method,
            newest: args.newest,
            plans: BTreeMap::new(),
            voice: Voice::default(),
            undescribed: Undescribed::default(),
            budget: Budget::default(),
            losses: Vec::new(),
            slots: None,
            downstream: None,
        })
    }

    fn backlog(&mut self, room: &Room) -> Result<Option<Arc<dyn Backlog>>> {
        let name = room.voice.name();
        if self.newest {
            let slots = self.slots.insert(Arc::new(Newest::new(room.bytes, name)));
            return Ok(Some(Arc::clone(slots) as Arc<dyn Backlog>));
        }
        if matches!(self.method, Method::Adaptive(_)) {
            let downstream = Arc::new(Downstream::new(room.bytes, name));
            let downstream = self.downstream.insert(downstream);
            return Ok(Some(Arc::clone(downstream) as Arc<dyn Backlog>));
        }
        Ok(None)
    }

    fn voice(&mut self, voice: Voice) {
        self.undescribed = Undescribed::new(voice.name());
        self.voice = voice;
    }

    fn session(&mut self, tag: u32, _session: &Session) {
        self.undescribed.session(tag);
    }

    fn damage(&mut self, damage: &Damage) -> Result<()> {
        self.undescribed.damage(damage);
        Ok(())
    }

    fn record(
        &mut self,
        record: Record<'_>,
        catalog: &Catalog,
        out: &mut impl Output,
    ) -> Result<()> {
        let header = record.header;
        if header.stream == 0 {
            return out.send(record);
        }
        let key = (header.session, header.stream);
        if header.kind == Kind::STREAM {
            self.describe(key, &record, catalog, out)?;
        }
        let Some(plan) = self.plans.get_mut(&key) else {
            // Nothing is known of it yet: whether it is to be thinned, and how.
            if header.kind.has_samples() || header.kind == Kind::GAP {
                self.undescribed.take(&record);
                return Ok(());
            }
            return out.send(record.with_header(Header { seq: 0, ..header }));
        };
        match header.kind {
            _ if plan.is_whole() => out.send(record),
            Kind::STREAM => {
                let header = Header { seq: plan.number(header.seq), ..header };
                out.send(Record::new(header, plan.description()))
            }
            Kind::DATA | Kind::BATCH => {
                self.adapt(key, out)?;
                match self.plans.get_mut(&key) {
                    Some(plan) => plan.samples(&record, self.newest, out),
                    None => Ok(()),
                }
            }
            Kind::GAP => plan.gap(&record, self.newest, out),
            _ => {
                let seq = plan.number(header.seq);
                out.send(record.with_header(Header { seq, ..header }))
            }
        }
    }

    fn end(&mut self, ended: &Ended<'_>, out: &mut impl Output) -> Result<()> {
        let plans = self.plans.iter_mut().filter(|(key, _)| key.0 == ended.session);
        for (_, plan) in plans {
            plan.end(out)?;
            self.losses.extend(plan.loss(self.voice.name()));
        }
        for (header, gap) in self.undescribed.end(ended.session) {
            out.send(Record::new(header, &gap.to_bytes()))?;
        }
        self.plans.retain(|key, _| key.0 != ended.session);
        Ok(())
    }

    fn losses(&self, account: &mut Account) {
        self.undescribed.tell(account);
        for (stream, loss) in &self.losses {
            account.add_own(stream, loss);
        }
    }
}

impl Thin {
    /// Decides what to do with a stream when its description is new.
    fn describe(
        &mut self,
        key: (u32, u16),
        record: &Record<'_>,
        catalog: &Catalog,
        out: &mut impl Output,
    ) -> Result<()> {
        let known = self.plans.get(&key).is_some_and(|plan| plan.is_of(record));
        let Some(stream) = catalog.of(record).filter(|_| !known) else { return Ok(()) };
        let named = self.chosen.hold(&stream.name, key.1);
        let chosen = self.chosen.is_empty() || named;
        let method = if chosen { self.method } else { Method::Whole };
        let mut before = self.plans.remove(&key);
        if let Some(plan) = &mut before {
            plan.end(out)?;
            self.losses.extend(plan.loss(self.voice.name()));
        }
        let (newest, stage) = (self.newest && chosen, self.voice.name());
        let budget = &self.budget;
        let order = Order { method, newest, named, stage, budget };
        let mut plan = Plan::new(&order, record, stream, before)?;
        if let Some(why) = plan.why_whole() {
            self.voice.detail(&format!("{} passes as it is: {why}", plan.name()));
        }
        for (header, gap) in self.undescribed.described(key.0, key.1, plan.name()) {
            plan.gap(&Record::new(header, &gap.to_bytes()), self.newest, out)?;
        }
        self.plans.insert(key, plan);
        if let Some(slots) = self.slots.as_ref().filter(|_| chosen) {
            slots.choose(key);
        }
        Ok(())
    }

    /// Changes a stream's rate, if what waits of it says so.
    fn adapt(&mut self, key: (u32, u16), out: &mut impl Output) -> Result<()> {
        let Some(downstream) = &self.downstream else { return Ok(()) };
        let Some(plan) = self.plans.get_mut(&key) else { return Ok(()) };
        if !plan.is_to_look(out.now()) {
            return Ok(());
        }
        let (now, waiting) = (out.now(), downstream.waiting(key));
        let Some(rate) = plan.look(waiting, now) else { return Ok(()) };
        let name = plan.name();
        self.voice.detail(&format!("{name}: {rate}/s, as {waiting} samples wait"));
        let (label, source) = ("rate".into(), self.voice.name().into());
        let event = Event { label, value: Value::Float(rate), source };
        let ((session, stream), kind, seq) = (key, Kind::EVENT, plan.number(0));
        let header = Header { kind, flags: 0, stream, session, seq, time: now, sent: 0 };
        out.send(Record::new(header, &event.to_bytes()))
    }
}

/// Makes of a flow what would be left of it.
fn thin(flow: &mut Flow, method: &Method, named: bool) -> Result<()> {
    let rate = flow.stream.rate;
    flow.stream.rate = match method {
        Method::Rate(most) | Method::Adaptive(Rule { ceiling: most, .. }) => {
            rate.map(|rate| rate.min(*most))
        }
        Method::Every(thinning) => rate.map(|rate| rate / thinning.0 as f64),
        Method::Whole => rate,
        Method::Resample(wish) => return resample(flow, wish, named),
    };
    Ok(())
}

fn resample(flow: &mut Flow, wish: &Wish, named: bool) -> Result<()> {
    let Thinned::By(ratio, stream) = wish.apply(&flow.stream, named)? else {
        return Ok(());
    };
    wish.memory(&flow.stream, ratio)?;
    let batch = ratio.rate(flow.batch).max(1.0);
    let size = stream.sample_size().map_or(flow.size, |size| Some(size as f64));
    *flow = Flow { stream: *stream, size, batch, timed: flow.timed };
    Ok(())
}
