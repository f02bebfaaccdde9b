//! What a user asked for, and what it means for a stream.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::ValueEnum;
use libframe::schema::{Dtype, Media, Stream};
use libframe::tool::Usage;

use super::budget::MAX_MEMORY;
use super::fir;
pub(crate) use super::kaiser::Shape;
use super::number::of_means;
use super::ratio::Ratio;

/// What is made of the samples that one stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Method {
    /// What is below the new Nyquist frequency, and nothing of what is above it
    Filter,
    /// Their mean
    Average,
    /// Their least and greatest, as two samples in the order in which they came
    Minmax,
    /// The root of the mean of their squares
    Rms,
    /// The first of them, as it is
    Decimate,
}

/// What becomes of an output of which some samples are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Partial {
    /// It is missing too
    Drop,
    /// It is made of those that came
    Use,
}

/// How many samples there are to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    /// A second.
    Rate(f64),
    /// One of so many.
    Factor(u64),
}

/// What a user asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Wish {
    pub(crate) target: Target,
    pub(crate) method: Method,
    pub(crate) partial: Partial,
    pub(crate) shape: Shape,
}

/// What it means for a stream.
#[derive(Clone, Debug)]
pub(crate) enum Thinned {
    /// It passes as it is, for this reason.
    Whole(String),
    /// It is thinned by this ratio, and then described so.
    By(Ratio, Box<Stream>),
}

impl Wish {
    /// What it means for this stream; an error if that cannot be. A stream that was not
    /// `named` passes as it is where the wish makes no sense for it.
    pub(crate) fn apply(&self, stream: &Stream, named: bool) -> Result<Thinned> {
        let result = self.ratio(stream).and_then(|ratio| match ratio {
            Some(ratio) => self.check(stream).map(|()| Some(ratio)),
            None => Ok(None),
        });
        match result {
            Ok(Some(ratio)) => {
                Ok(Thinned::By(ratio, Box::new(self.describe(stream, ratio))))
            }
            Ok(None) => Ok(Thinned::Whole("it has no more samples than that".into())),
            Err(why) if named => Err(Usage(format!("{}: {why}", stream.name)).into()),
            Err(why) => Ok(Thinned::Whole(why)),
        }
    }

    /// The ratio for a stream; `None` if it is slow enough already.
    fn ratio(&self, stream: &Stream) -> Result<Option<Ratio>, String> {
        let (to, rate) = match (self.target, stream.rate) {
            (Target::Factor(1), _) => return Ok(None),
            (Target::Factor(n), _) => return Ok(Some(Ratio::every(n))),
            (Target::Rate(to), Some(rate)) => (to, rate),
            (Target::Rate(_), None) => {
                return Err(
                    "has no rate that --to could be a share of; say --factor".into()
                );
            }
        };
        if rate <= to {
            return Ok(None);
        }
        let ratio = Ratio::of(rate, to).map(Some);
        ratio.ok_or_else(|| {
            format!("has a rate of {rate} Hz, which has no share of {to} Hz")
        })
    }

    /// Whether the method can work on a stream.
    fn check(&self, stream: &Stream) -> Result<(), String> {
        let dtype = stream.dtype.filter(|_| stream.media == Media::Samples);
        let plain = stream.fields.iter().all(|field| Some(field.dtype) == dtype);
        match (self.method, dtype) {
            (Method::Decimate, _) => Ok(()),
            (_, None) => Err("is not of numbers; say --method decimate".into()),
            (_, Some(_)) if !plain => {
                Err("has numbers of several types; say --method decimate, or make them \
                     one by calibrate-frames"
                    .into())
            }
            (_, Some(_)) if stream.sample_size().is_none_or(|size| size == 0) => {
                Err("has samples without a size; say --method decimate".into())
            }
            _ => Ok(()),
        }
    }

    /// The stream's description when it is thinned.
    fn describe(&self, stream: &Stream, ratio: Ratio) -> Stream {
        let mut thinned = stream.clone();
        thinned.rate = stream.rate.map(|rate| match self.target {
            Target::Rate(to) => to,
            Target::Factor(_) => ratio.rate(rate),
        });
        thinned.dtype = stream.dtype.map(|dtype| self.dtype(dtype));
        for field in &mut thinned.fields {
            let (old, new) = (field.dtype.size(), self.dtype(field.dtype));
            field.offset = (field.offset as usize / old * new.size()) as u32;
            field.dtype = new;
        }
        let (name, words) = (self.name(), self.words(stream.rate, ratio));
        // A second stage adds what it did to what was done.
        let mut add = |key: &str, value: String| {
            let before = thinned.meta.get(key).map(|before| format!("{before}; "));
            thinned.meta.insert(key.into(), before.unwrap_or_default() + &value);
        };
        add("thinning", words);
        add("thinning_method", name);
        add("thinning_factor", ratio.to_string());
        thinned
    }

    /// The type of what comes out.
    pub(crate) fn dtype(&self, dtype: Dtype) -> Dtype {
        match self.method {
            Method::Minmax | Method::Decimate => dtype,
            Method::Filter | Method::Average | Method::Rms => of_means(dtype),
        }
    }

    fn name(&self) -> String {
        let name = self.method.to_possible_value();
        name.map(|name| name.get_name().to_owned()).unwrap_or_default()
    }

    /// What was done, for people.
    fn words(&self, rate: Option<f64>, ratio: Ratio) -> String {
        let mut words = format!("{}, factor {ratio}", self.name());
        if let Some(rate) = rate {
            words += &format!(", {} Hz to {} Hz", rate, ratio.rate(rate));
        }
        if self.method == Method::Filter {
            let Shape { stop, pass } = self.shape;
            match rate.map(|rate| ratio.rate(rate) / 2.0) {
                Some(nyquist) => {
                    let pass = pass * nyquist;
                    words += &format!(
                        ", passes to {pass} Hz, {stop} dB down from {nyquist} Hz"
                    );
                }
                None => words += &format!(", {stop} dB down"),
            }
            words += ", delay taken off";
        }
        if self.partial == Partial::Use {
            words += ", of what came";
        }
        words
    }

    /// Bytes that this takes for a stream; an error if that is too much.
    pub(crate) fn memory(&self, stream: &Stream, ratio: Ratio) -> Result<usize> {
        let Some(dtype) = stream.dtype else { return Ok(0) };
        let width = stream.width();
        let need = match self.method {
            Method::Decimate => 0,
            Method::Filter => fir::memory(self.shape, ratio, dtype, width),
            Method::Average | Method::Minmax | Method::Rms => width.saturating_mul(24),
        };
        if need > MAX_MEMORY {
            let (name, most) = (&stream.name, MAX_MEMORY >> 20);
            let what = format!(
                "{name}: {} of {width} numbers by {ratio} takes more than {most} MiB",
                self.name()
            );
            let hint = match (self.method, self.target, stream.rate) {
                (Method::Filter, Target::Rate(to), Some(rate)) if ratio.l() > 1 => {
                    near(rate, to)
                }
                (Method::Filter, ..) => {
                    "thin in two stages, or say --method average".into()
                }
                _ => "say --method decimate".into(),
            };
            return Err(Usage(format!("{what}; {hint}")).into());
        }
        Ok(need)
    }
}

/// Which rates would do instead.
fn near(rate: f64, to: f64) -> String {
    let below = (rate / to).ceil();
    let above = below - 1.0;
    let (slower, faster) = (rate / below, rate / above);
    format!("near are {slower} Hz (--factor {below}) and {faster} Hz (--factor {above})")
}

/// Whether samples of two descriptions can be summed up together. What is noted beside them
/// does not matter.
pub(crate) fn are_alike(one: &Stream, other: &Stream) -> bool {
    let plain = |stream: &Stream| Stream { meta: BTreeMap::new(), ..stream.clone() };
    plain(one) == plain(other)
}

#[cfg(test)]
mod tests {
    use libframe::schema::Field;

    use super::*;

    fn wish(target: Target, method: Method) -> Wish {
        Wish { target, method, partial: Partial::Drop, shape: Shape::default() }
    }

    fn stream(rate: Option<f64>) -> Stream {
        let (media, dtype) = (Media::Samples, Some(Dtype::I16));
        let (name, shape) = ("rig".into(), vec![4]);
        Stream { name, media, dtype, shape, rate, ..Stream::default() }
    }

    #[test]
    fn the_description_says_what_was_done() {
        let to = wish(Target::Rate(1000.0), Method::Filter);
        let Ok(Thinned::By(ratio, out)) = to.apply(&stream(Some(30_000.0)), true) else {
            panic!()
        };
        assert_eq!((out.rate, out.dtype), (Some(1000.0), Some(Dtype::F32)));
        assert_eq!(ratio, Ratio::every(30));
        assert_eq!(out.meta["thinning_method"], "filter");
        assert_eq!(out.meta["thinning_factor"], "30");
        let words = "filter, factor 30, 30000 Hz to 1000 Hz, passes to 400 Hz, 80 dB down \
                     from 500 Hz, delay taken off";
        assert_eq!(out.meta["thinning"], words);
        let again = wish(Target::Factor(10), Method::Minmax);
        let Ok(Thinned::By(_, out)) = again.apply(&out, true) else { panic!() };
        assert_eq!(out.meta["thinning_factor"], "30; 10");
        assert_eq!((out.rate, out.dtype), (Some(100.0), Some(Dtype::F32)));
    }

    #[test]
    fn what_makes_no_sense_passes_or_is_told_to_who_asked_for_it() {
        let mut several = stream(Some(217.0));
        let (name, unit) = ("angle".into(), String::new());
        several.fields.push(Field { name, dtype: Dtype::F32, offset: 0, count: 1, unit });
        let text = Stream { media: Media::Text, rate: Some(217.0), ..Stream::default() };
        for (method, stream, why) in [
            (Method::Filter, stream(None), "--factor"),
            (Method::Average, several.clone(), "calibrate-frames"),
            (Method::Rms, text.clone(), "decimate"),
            (Method::Filter, stream(Some(f64::INFINITY)), "has no share"),
        ] {
            let wish = wish(Target::Rate(30.0), method);
            assert!(matches!(wish.apply(&stream, false), Ok(Thinned::Whole(_))));
            let told = wish.apply(&stream, true).unwrap_err().to_string();
            assert!(told.contains(why), "{told}");
        }
        let odd = wish(Target::Rate(30.0), Method::Filter);
        let stream = stream(Some(2.0f64.sqrt() * 100.0));
        let Ok(Thinned::By(ratio, _)) = odd.apply(&stream, true) else { panic!() };
        let told = odd.memory(&stream, ratio).unwrap_err().to_string();
        assert!(told.contains("(--factor 5) and 35.355"), "{told}");
        for stream in [several, text] {
            let wish = wish(Target::Rate(30.0), Method::Decimate);
            assert!(matches!(wish.apply(&stream, true), Ok(Thinned::By(..))));
        }
    }
}
