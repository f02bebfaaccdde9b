//! Streams of records as LSL describes them, and back.
//!
//! What LSL has a place for goes there, under the names that XDF's conventions give it; the
//! whole of our own description goes beside it, so that a stream that went through LSL or a
//! file is what it was. What others wrote in theirs is kept in `meta` and given back.

use libframe::payload::Session;
use libframe::schema::{Channel, Device, Media, Stream};

use crate::element::Element;
use crate::info::{Format, Info};

/// Keys of a stream's `meta` that say what LSL calls it; under the same ones is kept what a
/// stream was called that came from there.
pub mod keys {
    /// The name.
    pub const NAME: &str = "lsl.name";
    /// The type.
    pub const TYPE: &str = "lsl.type";
    /// The source id.
    pub const SOURCE_ID: &str = "lsl.source_id";
    /// The host that it came from.
    pub const HOSTNAME: &str = "lsl.hostname";
    /// Which outlet it came from.
    pub const UID: &str = "lsl.uid";
    /// All that others wrote in its description, as XML.
    pub const DESC: &str = "lsl.desc";
}

/// The longest description of others that is kept; a STREAM record may have 1 MiB.
const MAX_KEPT: usize = 256 << 10;
/// Where our own description stands.
const OURS: &str = "framepipe";

impl Info {
    /// What LSL is told of a stream of a session; `None` for what it has no form for:
    /// pictures, and bytes that are no text.
    pub fn of_stream(stream: &Stream, session: &Session) -> Option<Info> {
        let meta = |key: &str| stream.meta.get(key).filter(|text| !text.is_empty());
        let (format, channel_count) = match (stream.media, stream.dtype) {
            (Media::Samples, Some(dtype)) => {
                (Format::of(dtype), u32::try_from(stream.width()).ok()?)
            }
            (Media::Text | Media::Event, _) => (Format::String, 1),
            _ => return None,
        };
        let of_others = meta(keys::DESC).and_then(|xml| Element::parse(xml).ok());
        let mut desc = of_others.unwrap_or_else(|| Element::new("desc"));
        if labels(&desc) != own_labels(stream) {
            desc.remove("channels");
            desc.children.extend(channels(stream));
        }
        if desc.child("acquisition").is_none() {
            desc.children.extend(acquisition(&stream.device));
        }
        desc.remove(OURS);
        desc.add(own(stream, session));
        let kind = meta(keys::TYPE).cloned();
        let source_id = meta(keys::SOURCE_ID).cloned();
        Some(Info {
            name: meta(keys::NAME).unwrap_or(&stream.name).clone(),
            kind: kind.unwrap_or_else(|| usual_kind(stream).into()),
            channel_count,
            format,
            rate: stream.rate.filter(|rate| rate.is_finite()).unwrap_or(0.0).max(0.0),
            source_id: source_id.unwrap_or_else(|| source_of(stream, session)),
            created_at: 0.0,
            uid: meta(keys::UID).cloned().unwrap_or_default(),
            session_id: String::new(),
            hostname: meta(keys::HOSTNAME).unwrap_or(&session.host).clone(),
            desc,
        })
    }

    /// A stream of markers, for events that belong to no such stream of their own.
    pub fn markers(name: &str, session: &Session) -> Info {
        let stream =
            Stream { name: name.into(), media: Media::Event, ..Stream::default() };
        Info {
            name: name.into(),
            kind: "Markers".into(),
            channel_count: 1,
            format: Format::String,
            source_id: source_of(&stream, session),
            hostname: session.host.clone(),
            desc: Element::new("desc"),
            ..Info::default()
        }
    }

    /// What a stream is that came over LSL, or stands in a file: of our own making, what it
    /// was before.
    pub fn stream(&self) -> Stream {
        match self.own_stream() {
            Some(stream) => stream,
            None => self.stream_of_others(),
        }
    }

    fn own_stream(&self) -> Option<Stream> {
        let ours = self.desc.child(OURS)?;
        let mut stream: Stream = serde_json::from_str(ours.text_at("stream")?).ok()?;
        // Someone may have changed the one and not the other; what counts is what comes.
        let fits = match (stream.media, stream.dtype) {
            (Media::Samples, Some(dtype)) => {
                Format::of(dtype) == self.format
                    && stream.width() == self.channel_count as usize
            }
            (Media::Text | Media::Event, _) => self.is_single_text(),
            _ => false,
        };
        if !fits {
            return None;
        }
        if stream.channels.is_empty()
            && let Some(channels) = self.channels()
        {
            stream.channels = channels;
        }
        if ours.child("by_others").is_some() {
            self.keep_desc(&mut stream);
        }
        Some(stream)
    }

    fn is_single_text(&self) -> bool {
        self.format == Format::String && self.channel_count == 1
    }

    fn stream_of_others(&self) -> Stream {
        let text = |path: &str| self.desc.text_at(path).unwrap_or_default().to_owned();
        let media = match self.format {
            Format::String if self.is_markers() => Media::Event,
            Format::String => Media::Text,
            _ => Media::Samples,
        };
        let shape = match media {
            Media::Samples => vec![self.channel_count],
            _ => Vec::new(),
        };
        let many_texts = media == Media::Text && self.channel_count != 1;
        let mut stream = Stream {
            name: self.name.clone(),
            media,
            dtype: self.format.dtype(),
            shape,
            channels: self.channels().unwrap_or_default(),
            rate: Some(self.rate).filter(|rate| *rate > 0.0),
            format: if many_texts { "json".into() } else { String::new() },
            device: Device {
                make: text("acquisition/manufacturer"),
                model: text("acquisition/model"),
                serial: text("acquisition/serial_number"),
                port: text("acquisition/port"),
            },
            ..Stream::default()
        };
        self.keep_desc(&mut stream);
        let facts = [
            (keys::TYPE, &self.kind),
            (keys::SOURCE_ID, &self.source_id),
            (keys::HOSTNAME, &self.hostname),
            (keys::UID, &self.uid),
        ];
        for (key, text) in facts {
            if !text.is_empty() && text.len() <= MAX_KEPT {
                stream.meta.insert(key.into(), text.clone());
            }
        }
        stream
    }

    /// Keeps what others wrote, unless it is too much for a record.
    fn keep_desc(&self, stream: &mut Stream) {
        let mut desc = self.desc.clone();
        desc.remove(OURS);
        let mut xml = String::new();
        desc.write(0, &mut xml);
        if !desc.children.is_empty() && xml.len() <= MAX_KEPT {
            stream.meta.insert(keys::DESC.into(), xml);
        }
    }

    /// The channels that the description tells, if it tells all of them.
    fn channels(&self) -> Option<Vec<Channel>> {
        let told = self.desc.child("channels")?;
        let channels: Vec<Channel> = told.all("channel").map(channel).collect();
        // A record's description holds so many, and one for each.
        (channels.len() == self.channel_count as usize && channels.len() <= 16_384)
            .then_some(channels)
    }
}

fn channel(element: &Element) -> Channel {
    let text = |name: &str| element.text_at(name).unwrap_or_default().to_owned();
    let number = |path: &str| element.text_at(path)?.parse().ok();
    let position = |names: [&str; 3]| {
        let [x, y, z] = names.map(number);
        Some([x?, y?, z.unwrap_or(0.0)])
    };
    Channel {
        label: text("label"),
        unit: text("unit"),
        region: text("region"),
        position: position(["position_x", "position_y", "position_z"])
            .or_else(|| position(["location/X", "location/Y", "location/Z"])),
    }
}

fn channels(stream: &Stream) -> Option<Element> {
    if stream.channels.is_empty() || stream.channels.len() != stream.width() {
        return None;
    }
    let kind = stream.meta.get(keys::TYPE).map(String::as_str);
    let kind = kind.unwrap_or_else(|| usual_kind(stream));
    let mut all = Element::new("channels");
    for channel in &stream.channels {
        let one = all.add(Element::new("channel"));
        one.add_text("label", &channel.label);
        one.add_text("unit", &channel.unit);
        one.add_text("type", kind);
        one.add_text("region", &channel.region);
        if let Some([x, y, z]) = channel.position.map(|axes| axes.map(|n| n.to_string()))
        {
            one.add_text("position_x", &x);
            one.add_text("position_y", &y);
            one.add_text("position_z", &z);
            let location = one.add(Element::new("location"));
            location.add_text("X", &x);
            location.add_text("Y", &y);
            location.add_text("Z", &z);
        }
    }
    Some(all)
}

/// What a description calls its channels, as far as it says.
fn labels(desc: &Element) -> Vec<&str> {
    let channels = desc.child("channels").into_iter().flat_map(|all| all.all("channel"));
    channels.map(|channel| channel.text_at("label").unwrap_or_default()).collect()
}

fn own_labels(stream: &Stream) -> Vec<&str> {
    stream.channels.iter().map(|channel| channel.label.as_str()).collect()
}

fn acquisition(device: &Device) -> Option<Element> {
    let mut all = Element::new("acquisition");
    all.add_text("manufacturer", &device.make);
    all.add_text("model", &device.model);
    all.add_text("serial_number", &device.serial);
    all.add_text("port", &device.port);
    Some(all).filter(|all| !all.children.is_empty())
}

/// What only we know of a stream, and who recorded it.
fn own(stream: &Stream, session: &Session) -> Element {
    let mut kept = stream.clone();
    if stream.channels.len() == stream.width() {
        // They stand among the channels.
        kept.channels.clear();
    }
    // It stands around ours.
    let by_others = kept.meta.remove(keys::DESC).is_some();
    let mut ours = Element::new(OURS);
    ours.add_text("session", &session.uuid);
    ours.add_text("host", &session.host);
    ours.add_text("boot_id", &session.boot_id);
    ours.add_text("by_others", if by_others { "true" } else { "" });
    ours.add_text("stream", &serde_json::to_string(&kept).unwrap_or_default());
    ours
}

/// A type that readers look for, as far as the unit tells it.
fn usual_kind(stream: &Stream) -> &'static str {
    match stream.media {
        Media::Event => return "Markers",
        Media::Text => return "Text",
        _ => {}
    }
    match stream.channels.first().map_or("", |channel| channel.unit.as_str()) {
        "Pa" | "hPa" | "kPa" | "MPa" | "mmHg" | "psi" | "bar" | "mbar" => "Pressure",
        "N" | "mN" | "kN" => "Force",
        "°C" | "degC" | "K" | "°F" => "Temperature",
        "g" | "m/s^2" | "m/s²" => "Accelerometer",
        "uV" | "µV" | "mV" | "V" => "Voltage",
        _ => "Data",
    }
}

/// The same for a device and stream over restarts.
fn source_of(stream: &Stream, session: &Session) -> String {
    let Device { make, model, serial, port } = &stream.device;
    let kind = if model.is_empty() { make } else { model };
    let which = if serial.is_empty() { port } else { serial };
    // Without a serial number it is known by where it is.
    let host = if serial.is_empty() { session.host.as_str() } else { "" };
    let parts = [kind.as_str(), which.as_str(), host, stream.name.as_str()];
    let told: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    told.join("-")
}

#[cfg(test)]
mod tests {
    use libframe::schema::{DeviceClock, Dtype};

    use super::*;

    fn glove() -> Stream {
        let channel = |id: u32| Channel {
            label: format!("Sensor_{id}"),
            unit: "kPa".into(),
            region: "palm".into(),
            position: Some([0.1, id as f32, 0.0]),
        };
        Stream {
            name: "glove".into(),
            media: Media::Samples,
            dtype: Some(Dtype::F32),
            shape: vec![3],
            channels: [7, 9, 11].map(channel).into(),
            rate: Some(217.5),
            device: Device {
                make: "JQ".into(),
                model: "JQ20".into(),
                serial: "C60510".into(),
                port: "/dev/ttyACM0".into(),
            },
            device_clock: Some(DeviceClock { rate: 1e6, bits: 32 }),
            stamp: "arrival".into(),
            meta: [("side".to_owned(), "left".to_owned())].into(),
            ..Stream::default()
        }
    }

    fn session() -> Session {
        Session { uuid: "u".into(), host: "rig".into(), ..Session::default() }
    }

    /// Over the wire and back.
    fn there_and_back(stream: &Stream) -> (Info, Stream) {
        let info = Info::of_stream(stream, &session()).unwrap();
        let read = Info::from_xml(&info.to_xml()).unwrap();
        assert_eq!(read, info);
        (info, read.stream())
    }

    #[test]
    fn a_stream_of_ours_comes_back_as_it_was() {
        let (info, back) = there_and_back(&glove());
        assert_eq!(back, glove());
        assert_eq!((info.name.as_str(), info.kind.as_str()), ("glove", "Pressure"));
        assert_eq!(info.source_id, "JQ20-C60510-glove");
        let second = info.desc.child("channels").unwrap().all("channel").nth(1).unwrap();
        let told = ["label", "unit", "type", "region", "position_y", "location/Y"];
        let told = told.map(|name| second.text_at(name).unwrap());
        assert_eq!(told, ["Sensor_9", "kPa", "Pressure", "palm", "9", "9"]);
        assert_eq!(info.desc.text_at("acquisition/serial_number"), Some("C60510"));
    }

    #[test]
    fn types_that_lsl_lacks_come_back_too() {
        for dtype in [Dtype::U8, Dtype::U16, Dtype::U32, Dtype::U64] {
            let stream = Stream {
                dtype: Some(dtype),
                shape: vec![2, 3],
                channels: Vec::new(),
                ..glove()
            };
            assert_eq!(there_and_back(&stream).1, stream);
        }
    }

    #[test]
    fn texts_and_events_are_strings_and_pictures_are_nothing() {
        for media in [Media::Text, Media::Event] {
            let stream = Stream { name: "log".into(), media, ..Stream::default() };
            let (info, back) = there_and_back(&stream);
            assert_eq!(
                (info.format, info.channel_count, info.rate),
                (Format::String, 1, 0.0)
            );
            assert_eq!(back, stream);
        }
        for media in [Media::Image, Media::Bytes, Media::Unknown] {
            let stream = Stream { media, dtype: Some(Dtype::U8), ..Stream::default() };
            assert_eq!(Info::of_stream(&stream, &session()), None);
        }
    }

    #[test]
    fn what_the_user_calls_it_counts() {
        let mut stream = glove();
        stream.meta.insert(keys::NAME.into(), "JQGlove".into());
        stream.meta.insert(keys::TYPE.into(), "Hand".into());
        stream.meta.insert(keys::SOURCE_ID.into(), "mine".into());
        let (info, back) = there_and_back(&stream);
        let told = [info.name, info.kind, info.source_id];
        assert_eq!(told, ["JQGlove", "Hand", "mine"]);
        assert_eq!(back, stream);
    }

    /// What pylsl users write: channels, a cap, and things that nobody else knows.
    fn of_others() -> Info {
        let xml = "<info><name>BioSemi</name><type>EEG</type><channel_count>2</channel_count>\
            <channel_format>int64</channel_format><source_id>s1</source_id><nominal_srate>256\
            </nominal_srate><hostname>eeg-pc</hostname><uid>u7</uid><desc><channels><channel>\
            <label>Cz</label><unit>microvolts</unit><type>EEG</type><impedance>5</impedance>\
            <location><X>1</X><Y>2</Y><Z>3.5</Z></location></channel><channel><label>Pz</label>\
            </channel></channels><acquisition><manufacturer>BioSemi</manufacturer></acquisition>\
            <cap><name>biosemi64</name></cap></desc></info>";
        Info::from_xml(xml).unwrap()
    }

    #[test]
    fn what_others_wrote_is_understood_and_given_back() {
        let info = of_others();
        let stream = info.stream();
        assert_eq!((stream.dtype, &stream.shape[..]), (Some(Dtype::I64), &[2][..]));
        assert_eq!((stream.rate, stream.device.make.as_str()), (Some(256.0), "BioSemi"));
        assert_eq!(stream.channels[0].position, Some([1.0, 2.0, 3.5]));
        assert_eq!((stream.label(0), stream.label(1)), ("Cz".into(), "Pz".into()));

        let mut again = Info::of_stream(&stream, &session()).unwrap();
        assert_eq!(again.stream(), stream, "also from our own description");
        again.desc.remove(OURS);
        assert_eq!(again, info);
    }

    #[test]
    fn channels_that_were_taken_out_are_not_told() {
        let mut stream = of_others().stream();
        stream.channels.remove(0);
        stream.shape = vec![1];
        let info = Info::of_stream(&stream, &session()).unwrap();
        assert_eq!(labels(&info.desc), ["Pz"]);
        assert_eq!(info.desc.text_at("cap/name"), Some("biosemi64"));
    }

    #[test]
    fn a_description_that_does_not_fit_the_samples_is_not_believed() {
        let mut info = Info::of_stream(&glove(), &session()).unwrap();
        info.channel_count = 5;
        let stream = info.stream();
        assert_eq!((&stream.shape[..], stream.channels.len()), (&[5][..], 0));
        info.format = Format::Int16;
        assert_eq!(info.stream().dtype, Some(Dtype::I16));
    }

    #[test]
    fn markers_are_events_and_many_texts_are_json() {
        let info = Info::markers("Markers", &session());
        assert!(info.is_markers());
        assert_eq!(
            (info.stream().media, info.source_id.as_str()),
            (Media::Event, "rig-Markers")
        );
        let two = Info { channel_count: 2, ..info };
        assert_eq!(
            (two.stream().media, two.stream().format.as_str()),
            (Media::Text, "json")
        );
    }
}
