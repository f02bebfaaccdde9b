//! What the plugin answers to clients that say they are there, and who they are.

use libframe::clock::SECOND;
use serde_json::{Deserializer, Value};

/// What the plugin reads of a message at most; the rest is cut off.
const LONGEST: usize = 63_999;
/// Whom it has not heard of for so long is gone.
const PATIENCE: i64 = 5 * SECOND;
/// Clients that are remembered; with more of them, who was silent longest is forgotten.
const MOST: usize = 256;

/// The clients that sent heartbeats.
#[derive(Debug, Default)]
pub(crate) struct Clients(Vec<Client>);

#[derive(Debug)]
struct Client {
    application: String,
    uuid: String,
    seen: i64,
    alive: bool,
}

impl Clients {
    /// The answer to a message, word for word, and who is new by it.
    pub(crate) fn answer(
        &mut self,
        message: &[u8],
        now: i64,
    ) -> (&'static str, Option<String>) {
        let Some(message) = parse(message) else {
            return ("JSON message could not be read", None);
        };
        let text = |key: &str| message[key].as_str().unwrap_or_default().to_owned();
        let newcomer = self.see(text("application"), text("uuid"), now);
        let answer = match message["type"].as_str() {
            Some("event") => "message correctly parsed",
            _ => "heartbeat received",
        };
        (answer, newcomer)
    }

    /// Who has fallen silent.
    pub(crate) fn silent(&mut self, now: i64) -> impl Iterator<Item = String> {
        let gone =
            move |client: &&mut Client| client.alive && now - client.seen > PATIENCE;
        self.0.iter_mut().filter(gone).map(|client| {
            client.alive = false;
            client.name()
        })
    }

    fn see(&mut self, application: String, uuid: String, now: i64) -> Option<String> {
        if let Some(client) = self.0.iter_mut().find(|client| client.uuid == uuid) {
            let was_alive = std::mem::replace(&mut client.alive, true);
            client.seen = now;
            return (!was_alive).then(|| client.name());
        }
        if self.0.len() == MOST {
            self.0.sort_by_key(|client| client.seen);
            self.0.remove(0);
        }
        let client = Client { application, uuid, seen: now, alive: true };
        let name = client.name();
        self.0.push(client);
        Some(name)
    }
}

impl Client {
    fn name(&self) -> String {
        format!("{:?} ({})", self.application, self.uuid.escape_debug())
    }
}

/// A message as JUCE reads it: up to a NUL, an object or a list, or nothing at all; what
/// follows is not looked at.
fn parse(message: &[u8]) -> Option<Value> {
    let message = &message[..message.len().min(LONGEST)];
    let text = message.split(|byte| *byte == 0).next().unwrap_or_default();
    match Deserializer::from_slice(text).into_iter::<Value>().next() {
        None => Some(Value::Null),
        Some(Ok(value)) if value.is_object() || value.is_array() => Some(value),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEAT: &str = r#"{"application":"MyApp","uuid":"7","type":"heartbeat"}"#;

    #[test]
    fn the_three_answers() {
        let mut clients = Clients::default();
        let mut answer = |message: &str| clients.answer(message.as_bytes(), 0).0;
        let event = r#"{"application":"a","uuid":"7","type":"event","event":{"type":3}}"#;
        assert_eq!(answer(BEAT), "heartbeat received");
        assert_eq!(answer(event), "message correctly parsed");
        for wrong in ["hello", "{", "7", "\"heartbeat\"", r#"{"type":"event""#] {
            assert_eq!(answer(wrong), "JSON message could not be read", "{wrong}");
        }
        for odd in ["[]", "{}", "", " ", "{\"type\":3}\0{", "{} rest"] {
            assert_eq!(answer(odd), "heartbeat received", "{odd}");
        }
        let long = format!("{{\"type\":\"event\",\"a\":\"{}\"}}", "x".repeat(64_000));
        assert_eq!(answer(&long), "JSON message could not be read");
        let deep = "[".repeat(30_000);
        assert_eq!(answer(&deep), "JSON message could not be read");
    }

    #[test]
    fn who_comes_and_goes_is_told_once() {
        let mut clients = Clients::default();
        let name = || Some("\"MyApp\" (7)".to_owned());
        assert_eq!(clients.answer(BEAT.as_bytes(), 0).1, name());
        assert_eq!(clients.answer(BEAT.as_bytes(), 2 * SECOND).1, None);
        assert_eq!(clients.silent(7 * SECOND).next(), None);
        assert_eq!(clients.silent(7 * SECOND + 1).next(), name());
        assert_eq!(clients.silent(9 * SECOND).next(), None);
        assert_eq!(clients.answer(BEAT.as_bytes(), 9 * SECOND).1, name());
    }

    #[test]
    fn clients_without_end_are_forgotten() {
        let mut clients = Clients::default();
        for uuid in 0..3 * MOST {
            clients.answer(format!("{{\"uuid\":\"{uuid}\"}}").as_bytes(), uuid as i64);
        }
        assert_eq!(clients.0.len(), MOST);
        assert!(clients.0.iter().all(|client| client.seen >= 2 * MOST as i64));
    }
}
