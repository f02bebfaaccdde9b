//! The description of a stream as LSL sends it and XDF stores it: `<info>`, as XML.

use crate::element::{Element, XmlError};

/// A stream as LSL describes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Info {
    /// What it is called.
    pub name: String,
    /// What it is about: `EEG`, `Markers`, `Pressure` …
    pub kind: String,
    /// Numbers or texts in a sample.
    pub channel_count: u32,
    /// Their type.
    pub format: Format,
    /// Samples a second; 0 if they come when they come.
    pub rate: f64,
    /// The same over restarts, and nowhere else; empty if its maker does not care.
    pub source_id: String,
    /// When it was opened, in seconds of its host's clock.
    pub created_at: f64,
    /// Of this one outlet.
    pub uid: String,
    /// Which of several laboratories on one network.
    pub session_id: String,
    /// The host that it comes from.
    pub hostname: String,
    /// All else: channels, acquisition and what else is worth knowing.
    pub desc: Element,
}

/// Type of the values of a stream, numbered as liblsl does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Format {
    #[default]
    Float32 = 1,
    Double64 = 2,
    String = 3,
    Int32 = 4,
    Int16 = 5,
    Int8 = 6,
    Int64 = 7,
}

/// Why a description cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InfoError {
    /// It is no XML.
    #[error(transparent)]
    Xml(#[from] XmlError),
    /// It is other XML.
    #[error("the description of a stream is <{0}>, not <info>")]
    Other(String),
    /// A part is missing or makes no sense.
    #[error("the description of stream '{stream}' has {what} '{text}'")]
    Part {
        /// The stream's name.
        stream: String,
        /// Which part.
        what: &'static str,
        /// What stands there.
        text: String,
    },
}

/// The most channels a stream may have.
pub const MAX_CHANNELS: u32 = 1 << 20;

impl Format {
    /// The word that stands in the description.
    pub fn name(self) -> &'static str {
        match self {
            Format::Float32 => "float32",
            Format::Double64 => "double64",
            Format::String => "string",
            Format::Int32 => "int32",
            Format::Int16 => "int16",
            Format::Int8 => "int8",
            Format::Int64 => "int64",
        }
    }

    /// The format that a word stands for.
    pub fn named(name: &str) -> Option<Format> {
        let all = [
            Format::Float32,
            Format::Double64,
            Format::String,
            Format::Int32,
            Format::Int16,
            Format::Int8,
            Format::Int64,
        ];
        all.into_iter().find(|format| format.name() == name)
    }

    /// Bytes of a value; 0 for strings, which have any length.
    pub fn size(self) -> usize {
        match self {
            Format::String => 0,
            Format::Int8 => 1,
            Format::Int16 => 2,
            Format::Float32 | Format::Int32 => 4,
            Format::Double64 | Format::Int64 => 8,
        }
    }
}

impl Info {
    /// Whether its samples are markers: single texts that come when something happens.
    pub fn is_markers(&self) -> bool {
        self.format == Format::String && self.channel_count == 1 && self.rate == 0.0
    }

    /// Reads a description, as a stream's full info or a file's header has it.
    pub fn from_xml(xml: &str) -> Result<Info, InfoError> {
        let root = Element::parse(xml)?;
        if root.name != "info" {
            return Err(InfoError::Other(root.name));
        }
        let text = |name: &str| root.text_at(name).unwrap_or_default().to_owned();
        let name = text("name");
        let wrong = |what, text: &str| InfoError::Part {
            stream: name.clone(),
            what,
            text: text.into(),
        };
        let count = text("channel_count");
        let channels = count.parse().ok().filter(|count| *count <= MAX_CHANNELS);
        let format = text("channel_format");
        let number = |name: &str| -> f64 {
            let number = text(name).parse().unwrap_or_default();
            if f64::is_finite(number) { number } else { 0.0 }
        };
        Ok(Info {
            kind: text("type"),
            channel_count: channels.ok_or_else(|| wrong("channel_count", &count))?,
            format: Format::named(&format)
                .ok_or_else(|| wrong("channel_format", &format))?,
            rate: number("nominal_srate").max(0.0),
            source_id: text("source_id"),
            created_at: number("created_at"),
            uid: text("uid"),
            session_id: text("session_id"),
            hostname: text("hostname"),
            desc: root.child("desc").cloned().unwrap_or_else(|| Element::new("desc")),
            name,
        })
    }

    /// Writes it, as a document.
    pub fn to_xml(&self) -> String {
        self.to_element().to_document()
    }

    /// It as the element `<info>`, to which a file may add.
    pub fn to_element(&self) -> Element {
        let mut info = Element::new("info");
        // All of these stand there even if they are empty: readers ask for them.
        let mut add = |name: &str, text: &str| {
            info.add(Element::new(name)).text = text.into();
        };
        add("name", &self.name);
        add("type", &self.kind);
        add("channel_count", &self.channel_count.to_string());
        add("channel_format", self.format.name());
        add("source_id", &self.source_id);
        add("nominal_srate", &self.rate.to_string());
        add("version", "1.1");
        add("created_at", &self.created_at.to_string());
        add("uid", &self.uid);
        add("session_id", &self.session_id);
        add("hostname", &self.hostname);
        let desc = Element { name: "desc".into(), ..self.desc.clone() };
        info.add(desc);
        info
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_LIBLSL: &str = "<?xml version=\"1.0\"?>\n<info>\n\t<name>N &lt;&amp;&gt;é</name>\
        <type>EEG</type><channel_count>2</channel_count><channel_format>float32\
        </channel_format><source_id>sid</source_id><nominal_srate>100.0000000000000\
        </nominal_srate><version>1.100000000000000</version><created_at>5.25</created_at>\
        <uid>u</uid><session_id>default</session_id><hostname>rig</hostname>\
        <v4address></v4address><v4data_port>0</v4data_port><desc><channels><channel>\
        <label>a</label></channel></channels></desc></info>\n";

    #[test]
    fn what_liblsl_writes_is_read() {
        let info = Info::from_xml(OF_LIBLSL).unwrap();
        assert_eq!((info.name.as_str(), info.kind.as_str()), ("N <&>é", "EEG"));
        assert_eq!((info.channel_count, info.format), (2, Format::Float32));
        assert_eq!((info.rate, info.created_at), (100.0, 5.25));
        assert_eq!((info.hostname.as_str(), info.source_id.as_str()), ("rig", "sid"));
        assert_eq!(info.desc.text_at("channels/channel/label"), Some("a"));
        assert_eq!(Info::from_xml(&info.to_xml()).unwrap(), info);
    }

    #[test]
    fn a_description_that_makes_no_sense_is_named() {
        let told = |from: &str, to: &str| {
            Info::from_xml(&OF_LIBLSL.replace(from, to)).unwrap_err().to_string()
        };
        let many = told(">2<", ">4000000000<");
        assert!(many.ends_with("'N <&>é' has channel_count '4000000000'"), "{many}");
        let strange = told("float32", "float16");
        assert!(strange.ends_with("has channel_format 'float16'"), "{strange}");
        assert!(Info::from_xml("<html/>").unwrap_err().to_string().contains("<html>"));
        assert!(Info::from_xml("").is_err());
    }

    #[test]
    fn a_rate_that_is_none_means_irregular() {
        for rate in ["nan", "inf", "-5", "x"] {
            let xml = OF_LIBLSL.replace("100.0000000000000", rate);
            assert_eq!(Info::from_xml(&xml).unwrap().rate, 0.0, "{rate}");
        }
    }
}
