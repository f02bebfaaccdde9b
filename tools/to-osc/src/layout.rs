//! How samples become messages, byte for byte. The man page tells the same in words.
//!
//! Address and type tags are the same for all messages of one form, so they are written
//! once: a message is a copy of its [`Form`], with the fields that change put in place and
//! the numbers behind.

use std::ops::Range;

use clap::ValueEnum;

use crate::values::{self, Order, Values};

/// What a message looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Layout {
    /// ADDRESS/sample with a float for each channel; one message a sample
    #[default]
    Sample,
    /// ADDRESS/batch/SAMPLES with the number of channels, then floats, channel by channel
    Batch,
    /// CHANNEL-ADDRESS with one float; one message for each channel of each sample
    Individual,
    /// ADDRESS/chunk/SAMPLESxCHANNELS with floats, sample by sample
    Chunk,
    /// Scales: a bundle with the time of its first sample, and in it ADDRESS/bundle
    Bundle,
    /// Scales best: ADDRESS/blob with the numbers as one blob
    Blob,
}

impl Layout {
    /// Whether it is of those that say on their own what UDP lost.
    pub(crate) fn scales(self) -> bool {
        matches!(self, Layout::Bundle | Layout::Blob)
    }

    /// The most samples that a message of it can hold, whatever there is room for.
    fn most(self) -> usize {
        match self {
            Layout::Sample | Layout::Individual => 1,
            _ => usize::MAX,
        }
    }

    fn order(self) -> Order {
        match self {
            Layout::Batch => Order::ByChannel,
            _ => Order::BySample,
        }
    }
}

/// The channels that share a message, and its address.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// The address, without what the layout puts behind it.
    pub(crate) address: String,
    pub(crate) channels: Range<usize>,
    /// Whether these are not all channels, so that the first must be told.
    pub(crate) is_part: bool,
    /// The forms that were used last.
    forms: Vec<Form>,
}

impl Group {
    pub(crate) fn new(address: String, channels: Range<usize>, is_part: bool) -> Group {
        Group { address, channels, is_part, forms: Vec::new() }
    }
}

/// What the layouts of a stream have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) layout: Layout,
    /// Whether messages have the number of their first sample.
    pub(crate) sequence: bool,
    /// How numbers are written.
    pub(crate) values: Values,
}

/// Everything of a message but its numbers.
#[derive(Clone, Debug)]
struct Form {
    samples: usize,
    bytes: Vec<u8>,
    /// Where the fields are that change.
    time: Option<usize>,
    sequence: Option<usize>,
    span: Option<usize>,
    scale: Option<usize>,
    is_blob: bool,
}

/// Samples to be sent in one message for each group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slab<'a> {
    /// float32, little-endian, sample by sample.
    pub(crate) numbers: &'a [[u8; 4]],
    pub(crate) samples: usize,
    pub(crate) channels: usize,
    /// Number of the first sample in its stream.
    pub(crate) first: u64,
    /// When that was, as an OSC time tag.
    pub(crate) time: u64,
    /// Time from the first sample to the last, seconds.
    pub(crate) span: f32,
}

/// Forms of a group that are kept: those of full messages, and of the last of a block.
const MOST_FORMS: usize = 4;

impl Style {
    /// Appends the message with a group's channels of some samples. Returns how many numbers
    /// were beyond what the values can hold.
    pub(crate) fn write(
        self,
        group: &mut Group,
        slab: &Slab<'_>,
        out: &mut Vec<u8>,
    ) -> u64 {
        let at = match group.forms.iter().position(|form| form.samples == slab.samples) {
            Some(at) => at,
            None => {
                if group.forms.len() == MOST_FORMS {
                    group.forms.remove(0);
                }
                group.forms.push(self.form(group, slab.samples));
                group.forms.len() - 1
            }
        };
        let form = &group.forms[at];
        let begin = out.len();
        out.extend_from_slice(&form.bytes);
        let mut put = |at: Option<usize>, bytes: &[u8]| {
            if let Some(at) = at.map(|at| begin + at) {
                out[at..at + bytes.len()].copy_from_slice(bytes);
            }
        };
        put(form.time, &slab.time.to_be_bytes());
        // The numbers of samples are those of their stream modulo 2^32.
        put(form.sequence, &(slab.first as u32).to_be_bytes());
        put(form.span, &slab.span.to_be_bytes());
        let block = values::Block {
            numbers: slab.numbers,
            samples: slab.samples,
            width: slab.channels,
            channels: group.channels.clone(),
        };
        let clipped = match self.values {
            Values::Float => {
                match (form.is_blob, self.layout.order()) {
                    (true, _) => values::put_plain(&block, out),
                    (false, Order::BySample) => values::put_by_sample(&block, out),
                    (false, Order::ByChannel) => values::put_by_channel(&block, out),
                }
                0
            }
            Values::Short { scale } => {
                let scale = scale.unwrap_or_else(|| values::scale_of(&block));
                if let Some(at) = form.scale.map(|at| begin + at) {
                    out[at..at + 4].copy_from_slice(&scale.to_be_bytes());
                }
                values::put_short(&block, scale, out)
            }
        };
        out.resize(begin + (out.len() - begin).next_multiple_of(4), 0);
        clipped
    }

    /// The most samples of `width` channels that a message of at most `limit` bytes can
    /// hold, by its exact length.
    pub(crate) fn most_samples(
        self,
        address: &str,
        part: bool,
        width: usize,
        limit: usize,
    ) -> usize {
        let group = Group::new(address.into(), 0..width, part);
        // Where the first channel of a part is in the address, it is this long at most.
        let reserve = if part { 12 } else { 0 };
        let fits = |samples: usize| self.len(&group, samples) + reserve <= limit;
        if width == 0 || !fits(1) {
            return 0;
        }
        let most = (limit / (width * 2) + 1).min(self.layout.most());
        let (mut least, mut most) = (1, most.max(1));
        while least < most {
            let middle = (least + most).div_ceil(2);
            match fits(middle) {
                true => least = middle,
                false => most = middle - 1,
            }
        }
        least
    }

    /// Bytes of a message.
    fn len(self, group: &Group, samples: usize) -> usize {
        let numbers = samples * group.channels.len();
        let payload = (numbers * self.values.size()).next_multiple_of(4);
        self.form(group, samples).bytes.len() + payload
    }

    /// Makes all of a message but its numbers.
    fn form(self, group: &Group, samples: usize) -> Form {
        let channels = group.channels.len();
        let numbers = samples * channels;
        let mut tags = String::from(",");
        let mut fields: Vec<Field> = Vec::new();
        let mut add = |tag: char, field: Field| {
            tags.push(tag);
            fields.push(field);
        };
        if self.sequence {
            add('i', Field::Sequence);
        }
        let first = group.channels.start as u32;
        let mut address = group.address.clone();
        match self.layout {
            Layout::Sample => address += "/sample",
            Layout::Batch => {
                address += &format!("/batch/{samples}");
                add('i', Field::Count(channels as u32));
            }
            Layout::Individual => {}
            Layout::Chunk => address += &format!("/chunk/{samples}x{channels}"),
            Layout::Bundle => {
                address += "/bundle";
                add('i', Field::Count(samples as u32));
                add('i', Field::Count(first));
                add('i', Field::Count(channels as u32));
                add('f', Field::Span);
            }
            Layout::Blob => {
                address += "/blob";
                add('t', Field::Time);
                add('f', Field::Span);
                add('i', Field::Count(samples as u32));
                add('i', Field::Count(first));
                add('i', Field::Count(channels as u32));
                if matches!(self.values, Values::Short { .. }) {
                    add('f', Field::Scale);
                }
                add('b', Field::Count((numbers * self.values.size()) as u32));
            }
        }
        let tells_first =
            matches!(self.layout, Layout::Sample | Layout::Batch | Layout::Chunk);
        if group.is_part && tells_first {
            address += &format!("/{first}");
        }
        if self.layout != Layout::Blob {
            tags.extend(std::iter::repeat_n('f', numbers));
        }
        let payload = (numbers * self.values.size()).next_multiple_of(4);
        self.assemble(samples, &address, &tags, &fields, payload)
    }

    fn assemble(
        self,
        samples: usize,
        address: &str,
        tags: &str,
        fields: &[Field],
        payload: usize,
    ) -> Form {
        let mut form = Form {
            samples,
            bytes: Vec::new(),
            time: None,
            sequence: None,
            span: None,
            scale: None,
            is_blob: self.layout == Layout::Blob,
        };
        let bytes = &mut form.bytes;
        let is_bundle = self.layout == Layout::Bundle;
        if is_bundle {
            bytes.extend_from_slice(b"#bundle\0");
            form.time = Some(bytes.len());
            bytes.extend_from_slice(&[0; 12]);
        }
        put_string(address, bytes);
        put_string(tags, bytes);
        for field in fields {
            let at = Some(bytes.len());
            match field {
                Field::Sequence => form.sequence = at,
                Field::Span => form.span = at,
                Field::Scale => form.scale = at,
                Field::Time => form.time = at,
                Field::Count(_) => {}
            }
            match field {
                Field::Count(count) => bytes.extend_from_slice(&count.to_be_bytes()),
                Field::Time => bytes.extend_from_slice(&[0; 8]),
                _ => bytes.extend_from_slice(&[0; 4]),
            }
        }
        if is_bundle {
            let size = (bytes.len() - 20 + payload) as u32;
            bytes[16..20].copy_from_slice(&size.to_be_bytes());
        }
        form
    }
}

/// An argument in front of the numbers.
enum Field {
    Sequence,
    Time,
    Span,
    Scale,
    Count(u32),
}

/// Appends a string as OSC has them: ended by zeros, to a multiple of four bytes.
pub(crate) fn put_string(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(text.as_bytes());
    let zeros = 4 - text.len() % 4;
    out.extend_from_slice(&[0; 4][..zeros]);
}
