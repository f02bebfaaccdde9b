//! One session's group: who recorded, where, when, and why it ended.

use anyhow::Result;
use libframe::clock::Clock;
use libframe::payload::{End, Payload as _, Session};
use libframe::schema::Dtype;

use crate::h5::{Group, Type, Value};
use crate::layout::session as names;

const U8: Type = Type::Number(Dtype::U8);

/// A session's group.
pub(crate) struct SessionGroup {
    group: Group,
    pub(crate) tag: u32,
    /// From 1.
    pub(crate) number: i32,
    /// What makes its monotonic times wall clock times, ns.
    pub(crate) offset: i64,
    payload: Vec<u8>,
    pub(crate) ended: bool,
}

/// What the group of a session is called.
fn name_of(number: i32) -> String {
    match number {
        1 => names::GROUP.into(),
        n => format!("{}_{n}", names::GROUP),
    }
}

impl SessionGroup {
    /// A new one. If its SESSION has not come, this host's clocks stand for its.
    pub(crate) fn create(
        root: &Group,
        (tag, number): (u32, i32),
        payload: Option<&[u8]>,
    ) -> Result<SessionGroup> {
        let group = root.create(&name_of(number))?;
        let now = Clock::system().reading();
        let (realtime, monotonic) = (now.realtime.unwrap_or(0), now.monotonic);
        let stand_in = Session {
            start_realtime: realtime,
            start_monotonic: monotonic,
            ..Session::default()
        };
        let session = payload.and_then(|payload| Session::from_bytes(payload).ok());
        let session = session.unwrap_or(stand_in);
        group.set(names::TAG, Value::U32(tag))?;
        group.set(names::START_REALTIME, Value::I64(session.start_realtime))?;
        group.set(names::START_MONOTONIC, Value::I64(session.start_monotonic))?;
        group.set(names::END_REASON, Value::Text(""))?;
        group.set(names::END_JSON, Value::Text(""))?;
        let offset = session.start_realtime.saturating_sub(session.start_monotonic);
        let mut made = SessionGroup {
            group,
            tag,
            number,
            offset,
            payload: Vec::new(),
            ended: false,
        };
        made.write(&session, payload.unwrap_or_default())?;
        Ok(made)
    }

    /// Those that a recorder left.
    pub(crate) fn reopen_all(root: &Group) -> Result<Vec<SessionGroup>> {
        let mut all = Vec::new();
        for number in 1.. {
            let name = name_of(number);
            if !root.has(&name)? {
                break;
            }
            let group = root.open(&name)?;
            let realtime = group.number(names::START_REALTIME)?;
            let monotonic = group.number(names::START_MONOTONIC)?;
            all.push(SessionGroup {
                tag: group.number(names::TAG)? as u32,
                number,
                offset: realtime.saturating_sub(monotonic),
                payload: group.bytes(names::PAYLOAD)?,
                ended: !group.text(names::END_REASON)?.is_empty(),
                group,
            });
        }
        Ok(all)
    }

    /// Takes note of an announcement. Its start stays what the times were computed with.
    pub(crate) fn announce(&mut self, payload: &[u8]) -> Result<()> {
        if payload == self.payload {
            return Ok(());
        }
        match Session::from_bytes(payload) {
            Ok(session) => self.write(&session, payload),
            // Readable or not, it is the user's.
            Err(_) => self.keep(payload),
        }
    }

    fn write(&mut self, session: &Session, payload: &[u8]) -> Result<()> {
        let json = serde_json::to_string(session)?;
        self.group.set(names::UUID, Value::Text(&session.uuid))?;
        self.group.set(names::HOST, Value::Text(&session.host))?;
        self.group.set(names::BOOT_ID, Value::Text(&session.boot_id))?;
        self.group.set(names::JSON, Value::Text(&json))?;
        self.keep(payload)
    }

    fn keep(&mut self, payload: &[u8]) -> Result<()> {
        self.payload = payload.to_vec();
        self.group.put(names::PAYLOAD, U8, &[payload.len() as u64], payload)
    }

    /// Takes note of the end that the pipe told.
    pub(crate) fn end(&mut self, payload: &[u8]) -> Result<()> {
        let end = End::from_bytes(payload).unwrap_or_default();
        self.group.put(names::END, U8, &[payload.len() as u64], payload)?;
        self.group.set(names::END_JSON, Value::Text(&serde_json::to_string(&end)?))?;
        let reason = if end.reason.is_empty() { "end" } else { &end.reason };
        self.close(reason)
    }

    /// Says why it ended.
    pub(crate) fn close(&mut self, reason: &str) -> Result<()> {
        self.ended = true;
        self.group.set(names::END_REASON, Value::Text(reason))
    }
}
