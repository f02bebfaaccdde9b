//! Who decides: one recording after another, by the command line, signals, and clients.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use libframe::clock::SECOND;
use libframe::tool::Conductor;
use serde_json::{Value, json};

use crate::choice::Choice;
use crate::control::{Answer, ClientId, Control};
use crate::pipeline::Pipeline;
use crate::recording::{Notice, Phase, Recording};
use crate::request::{Part, Request};
use crate::roster::{Listing, Seen};
use crate::study::Study;
use crate::template::Template;

/// How often processes are looked after.
const TICK: i64 = SECOND / 20;
/// Messages that the status shows.
const MAX_MESSAGES: usize = 20;
/// How long answers that are under way may take when all is over.
const FAREWELL: i64 = SECOND / 2;

/// What was asked for on the command line and in the configuration.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) study: Study,
    pub(crate) choice: Choice,
    /// What each recording has in common.
    pub(crate) pipeline: Pipeline,
    pub(crate) control: Option<Control>,
    /// Whether to record at once, and to end with that recording.
    pub(crate) auto_start: bool,
}

/// The one who decides.
#[derive(Debug)]
pub(crate) struct Desk<'a, 'b> {
    conductor: &'a mut Conductor<'b>,
    root: PathBuf,
    setup: Setup,
    current: Option<Recording>,
    /// Whether the recording is not that of a client.
    is_ours: bool,
    waiting: Vec<(ClientId, Wish)>,
    listing: Option<Listing>,
    seen: Option<Vec<Seen>>,
    is_leaving: bool,
    messages: VecDeque<String>,
    failures: Vec<String>,
    last: Option<Value>,
    /// Samples, bytes and losses of the recordings before.
    before: (u64, u64, u64),
}

/// What a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Start,
    Stop,
    Update,
    Quit,
}

impl<'a, 'b> Desk<'a, 'b> {
    pub(crate) fn new(setup: Setup, conductor: &'a mut Conductor<'b>) -> Desk<'a, 'b> {
        Desk {
            conductor,
            root: setup.study.root.clone(),
            setup,
            current: None,
            is_ours: false,
            waiting: Vec::new(),
            listing: None,
            seen: None,
            is_leaving: false,
            messages: VecDeque::new(),
            failures: Vec::new(),
            last: None,
            before: (0, 0, 0),
        }
    }

    /// Records until all that was asked for is done.
    pub(crate) fn run(mut self) -> Result<()> {
        if self.setup.auto_start {
            self.is_ours = true;
            self.start().map_err(|why| anyhow!(why))?;
        }
        while !(self.is_leaving && self.current.is_none()) {
            self.wait()?;
            if !self.conductor.is_running() {
                self.leave();
            }
            self.serve();
            self.mind();
        }
        self.fulfil(Wish::Quit, &Answer::Done(String::new()));
        self.say_farewell()?;
        match self.failures.as_slice() {
            [] => Ok(()),
            [only] => Err(anyhow!("{only}")),
            [first, ..] => Err(anyhow!("{first}; failures: {}", self.failures.len())),
        }
    }

    fn wait(&self) -> Result<()> {
        let now = self.conductor.clock().now();
        let control = self.setup.control.as_ref();
        let any = control.map(|control| control.descriptors(now)).unwrap_or_default();
        let is_idle = self.current.is_none() && self.listing.is_none();
        let unsent = control.is_some_and(Control::has_unsent);
        let until = now + if is_idle && !unsent { SECOND } else { TICK };
        if self.conductor.is_running() {
            self.conductor.wait(&any, until)?;
        } else {
            // The signal that came would end each wait at once.
            std::thread::sleep(std::time::Duration::from_nanos(TICK as u64));
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.is_leaving = true;
        if let Some(recording) = &mut self.current {
            recording.stop();
        }
    }

    fn start(&mut self) -> Result<(), String> {
        let study = &self.setup.study;
        let names = study.next(is_free)?;
        let mut pipeline = self.setup.pipeline.clone();
        pipeline.predicates = self.setup.choice.predicates();
        let labels = [
            ("participant", &study.labels.participant),
            ("session", &study.labels.session),
            ("task", &study.labels.task),
            ("acquisition", &study.labels.acquisition),
        ];
        let meta = labels.iter().filter(|(_, value)| !value.is_empty());
        pipeline
            .for_source
            .extend(meta.map(|(key, value)| format!("--meta={key}={value}")));
        pipeline.for_source.extend(names.run.map(|run| format!("--meta=run={run}")));
        let started = Recording::start(pipeline, names, self.conductor.clock());
        self.current = Some(started.map_err(|err| format!("{err:#}"))?);
        Ok(())
    }

    /// Looks after the recording, and the list of streams that somebody waits for.
    fn mind(&mut self) {
        if let Some(told) = self.listing.as_ref().and_then(Listing::told) {
            self.listing = None;
            let answer = match told {
                Ok(seen) => {
                    let answer = Answer::Done(crate::roster::words(&seen));
                    self.seen = Some(seen);
                    answer
                }
                Err(why) => Answer::Refused(why),
            };
            self.fulfil(Wish::Update, &answer);
        }
        let Some(recording) = &mut self.current else { return };
        let notices = recording.tick();
        let phase = recording.phase();
        for notice in notices {
            self.tell(notice);
        }
        self.show();
        if matches!(phase, Phase::Recording) {
            self.fulfil(Wish::Start, &Answer::Done(self.files()));
            self.end_in_time();
        }
        if phase == Phase::Over {
            self.conclude();
        }
    }

    /// Ends a recording whose time is up.
    fn end_in_time(&mut self) {
        let Some(recording) = &mut self.current else { return };
        let began = recording.shared.lock().health.began();
        if let (Some(time), Some(began)) = (self.conductor.duration(), began)
            && self.conductor.clock().now() - began >= time
        {
            recording.stop();
        }
    }

    /// A recording is over: what was it, and what now?
    fn conclude(&mut self) {
        let Some(mut recording) = self.current.take() else { return };
        let failure = recording.verdict(self.conductor.account());
        let (streams, samples, bytes, lost) = recording.shared.lock().health.totals();
        self.before.0 += samples;
        self.before.1 += bytes;
        self.before.2 += lost;
        let files = words(&recording);
        let summary =
            format!("{files}: {streams} streams, {samples} samples, {lost} lost");
        let was_made = recording.names.files.iter().any(|(_, path)| path.exists());
        self.last = Some(json!({
            "files": paths(&recording), "streams": streams, "samples": samples,
            "lost": lost, "failure": failure,
        }));
        let (started, stopped) = match &failure {
            None if !was_made => {
                let told = "called off before anything was recorded; start again";
                (Answer::Refused(told.into()), Answer::Done(told.into()))
            }
            None => (Answer::Done(summary.clone()), Answer::Done(summary.clone())),
            Some(why) => {
                let remedy = "status has more";
                let told = Answer::Refused(format!("{why}; {remedy}"));
                (told.clone(), told)
            }
        };
        self.fulfil(Wish::Start, &started);
        self.fulfil(Wish::Stop, &stopped);
        match failure {
            None if was_made => {
                self.conductor.voice().detail(&format!("recorded {summary}"))
            }
            None => {}
            Some(why) => {
                self.note(why.clone());
                self.failures.push(why);
            }
        }
        self.is_leaving |= self.is_ours || self.setup.control.is_none();
        self.is_ours = false;
    }

    fn tell(&mut self, notice: Notice) {
        match notice {
            Notice::Passed(line) => {
                self.conductor.voice().pass_on(&line);
                self.note(line);
            }
            Notice::Own(text) => {
                self.conductor.voice().tell(&text);
                self.note(text);
            }
        }
    }

    fn note(&mut self, text: String) {
        self.messages.push_back(text);
        if self.messages.len() > MAX_MESSAGES {
            self.messages.pop_front();
        }
    }

    /// Tells the status line how far it is.
    fn show(&self) {
        let Some(recording) = &self.current else { return };
        let (_, samples, bytes, lost) = recording.shared.lock().health.totals();
        let (of_samples, of_bytes, of_lost) = self.before;
        self.conductor.show(of_samples + samples, of_bytes + bytes, of_lost + lost);
    }

    /// Answers those who wait for something.
    fn fulfil(&mut self, wish: Wish, answer: &Answer) {
        let now = self.conductor.clock().now();
        let Some(control) = &mut self.setup.control else { return };
        for (id, _) in self.waiting.iter().filter(|(_, other)| *other == wish) {
            control.answer(*id, answer, now);
        }
        self.waiting.retain(|(_, other)| *other != wish);
    }

    fn say_farewell(&mut self) -> Result<()> {
        let clock = self.conductor.clock().clone();
        let until = clock.now() + FAREWELL;
        let Some(control) = &mut self.setup.control else { return Ok(()) };
        while control.has_unsent() && clock.now() < until {
            control.turn(clock.now());
            std::thread::sleep(std::time::Duration::from_nanos(TICK as u64));
        }
        Ok(())
    }

    /// Answers what can be answered at once.
    fn serve(&mut self) {
        let now = self.conductor.clock().now();
        let Some(control) = &mut self.setup.control else { return };
        control.turn(now);
        // A limit, so that the recording is looked after whatever clients send.
        for _ in 0..100 {
            let Some(control) = &mut self.setup.control else { return };
            let Some((id, request)) = control.next() else { return };
            let answer = match request {
                Ok(request) => self.carry_out(id, request),
                Err(why) => Some(Answer::Refused(why)),
            };
            if let (Some(answer), Some(control)) = (answer, &mut self.setup.control) {
                control.answer(id, &answer, now);
            }
        }
    }

    /// Does what a client asks; no answer yet if that takes time.
    fn carry_out(&mut self, id: ClientId, request: Request) -> Option<Answer> {
        let done = |text: String| Some(Answer::Done(text));
        let phase = self.current.as_ref().map(Recording::phase);
        match request {
            Request::SelectAll => self.setup.choice.all(),
            Request::SelectNone => self.setup.choice.none(),
            Request::Select(wanted) => {
                let absent = self.seen.as_ref().is_some_and(|seen| {
                    !seen.iter().any(|stream| wanted.is(&stream.name, &stream.host))
                });
                self.setup.choice.select(wanted.clone());
                if absent {
                    let words = self.setup.choice.words();
                    return done(format!(
                        "{words}; {wanted} was not there at the last update"
                    ));
                }
            }
            Request::Deselect(wanted) => {
                if let Err(why) = self.setup.choice.deselect(wanted) {
                    return Some(Answer::Refused(why));
                }
            }
            Request::Filename(parts) => return Some(self.rename(id, parts)),
            Request::Status => return Some(Answer::Line(self.status().to_string())),
            Request::Update => {
                self.listing.get_or_insert_with(|| Listing::start(&self.setup.pipeline));
                return self.wait_for(id, Wish::Update);
            }
            Request::Start => return self.start_for(id, phase),
            Request::Stop => {
                let Some(recording) = &mut self.current else {
                    return Some(Answer::Refused(
                        "not recording; send start first".into(),
                    ));
                };
                recording.stop();
                return self.wait_for(id, Wish::Stop);
            }
            Request::Quit => {
                self.leave();
                return self.wait_for(id, Wish::Quit);
            }
        }
        done(self.setup.choice.words())
    }

    fn wait_for(&mut self, id: ClientId, wish: Wish) -> Option<Answer> {
        self.waiting.push((id, wish));
        None
    }

    fn start_for(&mut self, id: ClientId, phase: Option<Phase>) -> Option<Answer> {
        let refused = |text: String| Some(Answer::Refused(text));
        match phase {
            Some(Phase::Starting | Phase::Recording) => {
                return refused(format!(
                    "recording already, {}; send stop first",
                    self.files()
                ));
            }
            Some(_) => {
                let files = self.files();
                return refused(format!(
                    "{files} is being finished; wait for the answer to stop"
                ));
            }
            None => {}
        }
        if self.is_leaving {
            return refused("ending; start labrecord again".into());
        }
        if self.setup.choice.is_empty() {
            return refused(
                "no stream is selected; send select all or select NAME".into(),
            );
        }
        match self.start() {
            Ok(()) => self.wait_for(id, Wish::Start),
            Err(why) => refused(why),
        }
    }

    /// Sets what the next recording is called.
    fn rename(&mut self, id: ClientId, parts: Vec<(Part, String)>) -> Answer {
        let mut study = self.setup.study.clone();
        for (part, value) in parts {
            let labels = &mut study.labels;
            match part {
                Part::Root => match self.new_root(&value, id.is_local) {
                    Ok(root) => study.root = root,
                    Err(why) => return Answer::Refused(why),
                },
                Part::Template => match Template::parse(&value) {
                    Ok(template) => study.template = template,
                    Err(why) => return Answer::Refused(why),
                },
                Part::Run => study.run = value.parse().unwrap_or(1),
                Part::Participant => labels.participant = value,
                Part::Session => labels.session = value,
                Part::Task => labels.task = value,
                Part::Acquisition => labels.acquisition = value,
                Part::Modality => labels.modality = value,
            }
        }
        match study.next(is_free) {
            Ok(names) => {
                self.setup.study = study;
                let files =
                    names.files.iter().map(|(_, path)| path.display().to_string());
                Answer::Done(files.collect::<Vec<_>>().join(" "))
            }
            Err(why) => Answer::Refused(why),
        }
    }

    /// A folder that a client chose; one on another machine only below ours.
    fn new_root(&self, text: &str, is_local: bool) -> Result<PathBuf, String> {
        let root = folder(text)?;
        match is_local || root.starts_with(&self.root) {
            true => Ok(root),
            false => Err(format!(
                "{text} is not below {}, and only clients on this machine may leave that; name \
                 a folder in it",
                self.root.display()
            )),
        }
    }

    fn files(&self) -> String {
        self.current.as_ref().map(words).unwrap_or_default()
    }

    /// Everything there is to know, as one line of JSON.
    fn status(&self) -> Value {
        let now = self.conductor.clock().now();
        let study = &self.setup.study;
        let labels = &study.labels;
        let next = study.next(is_free).map(|names| {
            names.files.into_iter().map(|(_, path)| path).collect::<Vec<_>>()
        });
        let mut status = json!({
            "state": match self.current.as_ref().map(Recording::phase) {
                None => "idle",
                Some(Phase::Starting) => "starting",
                Some(Phase::Recording) => "recording",
                Some(Phase::Stopping | Phase::Over) => "stopping",
            },
            "selected": self.setup.choice.words(),
            "required": self.setup.pipeline.required,
            "root": study.root,
            "participant": labels.participant,
            "session": labels.session,
            "task": labels.task,
            "next": next.unwrap_or_default(),
            "streams": [],
            "messages": self.messages,
            "failures": self.failures,
            "last": self.last,
        });
        if let Some(recording) = &self.current {
            let told = recording.shared.lock();
            let health = &told.health;
            let (_, samples, bytes, lost) = health.totals();
            let elapsed = health.began().map_or(0, |began| now - began);
            status["streams"] = health.json(now);
            status["samples"] = samples.into();
            status["bytes"] = bytes.into();
            status["lost"] = lost.into();
            status["elapsed"] = (elapsed as f64 / SECOND as f64).into();
            status["failures"] = json!([&self.failures, recording.failures()].concat());
            status["run"] = recording.names.run.into();
            status["files"] = sizes(recording);
        }
        status
    }
}

/// Whether a recording may have this name: neither a file nor a journal has it.
pub(crate) fn is_free(path: &Path) -> bool {
    let mut journal = path.as_os_str().to_owned();
    journal.push(".journal");
    // What cannot be looked at may be there.
    let is_absent = |path: &Path| matches!(path.try_exists(), Ok(false));
    is_absent(path) && is_absent(Path::new(&journal)) && !path.is_symlink()
}

/// A folder of this machine, whole.
pub(crate) fn folder(text: &str) -> Result<PathBuf, String> {
    let drive = text.get(1..2) == Some(":") || text.starts_with('\\');
    if drive || text.is_empty() || text.contains(char::is_control) {
        return Err(format!(
            "{text:?} is no folder of this machine; name one of its own"
        ));
    }
    if Path::new(text).components().any(|part| part.as_os_str() == "..") {
        return Err(format!("{text:?} leads elsewhere by '..'; write the folder out"));
    }
    std::path::absolute(text).map_err(|err| format!("{text}: {err}"))
}

fn words(recording: &Recording) -> String {
    let paths = recording.names.files.iter().map(|(_, path)| path.display().to_string());
    paths.collect::<Vec<_>>().join(" ")
}

fn paths(recording: &Recording) -> Vec<&PathBuf> {
    recording.names.files.iter().map(|(_, path)| path).collect()
}

fn sizes(recording: &Recording) -> Value {
    let size = |path: &Path| path.metadata().map(|meta| meta.len()).ok();
    let files = recording.names.files.iter();
    files.map(|(form, path)| json!({"form": form.name(), "path": path, "bytes": size(path)})).collect()
}
