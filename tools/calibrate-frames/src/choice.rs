//! Which streams are calibrated, and which of their numbers.

use anyhow::{Context as _, Result};
use globset::{Glob, GlobMatcher};
use libframe::schema::{Dtype, Media, Stream};
use libframe::tool::Usage;
use libframe_sensors::SensorMap;

use crate::scale::Choice;

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Selection {
    pub(crate) wanted: Vec<(String, GlobMatcher)>,
    pub(crate) map: Option<(String, SensorMap)>,
    pub(crate) all: bool,
    /// Only streams that are about sensors are meant.
    pub(crate) tactile: bool,
    /// Only bytes can be calibrated.
    pub(crate) bytes_only: bool,
}

impl Selection {
    /// The numbers of a stream that are to be calibrated, and their type; `None` if it is to
    /// pass.
    pub(crate) fn choose(
        &self,
        stream: &Stream,
        number: u16,
    ) -> Result<Option<(Dtype, Choice)>> {
        let name = &stream.name;
        let named = self
            .wanted
            .iter()
            .any(|(word, glob)| glob.is_match(name) || word.parse() == Ok(number));
        let field = stream.fields.iter().find(|field| field.name == "pressure");
        let tactile = field.is_some() || !stream.sensors.is_empty();
        if !named && (!self.wanted.is_empty() || self.tactile && !tactile) {
            return Ok(None);
        }
        let (Media::Samples, Some(dtype)) = (stream.media, stream.dtype) else {
            return match named {
                true => Err(Usage(format!("{name} has no numbers to calibrate")).into()),
                false => Ok(None),
            };
        };
        if self.bytes_only && dtype != Dtype::U8 {
            let hint = "the curve C60510 is for bytes; say --curve none or a file";
            return Err(Usage(format!("{name} is of {}: {hint}", dtype.name())).into());
        }
        let own = SensorMap { sensors: stream.sensors.clone(), ..SensorMap::default() };
        let (map, origin) = match &self.map {
            Some((word, map)) => (map, format!("{name}: --map {word}")),
            None => (&own, name.clone()),
        };
        map.fits(stream.width()).context(origin)?;
        let choice = match field {
            _ if !map.sensors.is_empty() && !self.all => {
                Choice::Sensors(map.sensors.clone())
            }
            _ if stream.fields.is_empty() => Choice::All,
            Some(field) if self.all && (field.dtype, field.offset) == (dtype, 0) => {
                Choice::First((field.count as usize).min(stream.width()))
            }
            _ if self.all => Choice::All,
            _ => {
                let hint =
                    "say --map left, --map right or a file, or --all for all numbers";
                return Err(Usage(format!("{name} has no sensor map; {hint}")).into());
            }
        };
        Ok(Some((dtype, choice)))
    }
}

/// The streams that words name.
pub(crate) fn patterns(words: Vec<String>) -> Result<Vec<(String, GlobMatcher)>> {
    let pattern = |word: String| {
        let glob = Glob::new(&word)
            .map_err(|err| Usage(format!("--stream {word}: {}", err.kind())))?;
        Ok((word, glob.compile_matcher()))
    };
    words.into_iter().map(pattern).collect()
}

/// Where the quaternion of a glove's sample is.
pub(crate) fn quaternion(stream: &Stream) -> Result<usize> {
    let field = stream.fields.iter().find(|field| field.name == "quaternion");
    let field = field.filter(|field| (field.dtype, field.count) == (Dtype::F32, 4));
    let offset = field.map(|field| field.offset as usize);
    let none = || Usage(format!("{} has no quaternion", stream.name));
    Ok(offset.ok_or_else(none)?)
}
