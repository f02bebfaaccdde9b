//! Values in the JSON of a message, as tolerant as they are bounded.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Channels of an electrode whose thresholds are kept.
const MAX_THRESHOLDS: usize = 64;

/// A whole number, which some writers send as `480.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whole(pub(crate) i64);

/// A number or a name: what one generation counts, another names.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Word<'a> {
    Number(i64),
    Name(Cow<'a, str>),
}

impl<'a> Word<'a> {
    /// The word as a name.
    pub(crate) fn into_name(self) -> Cow<'a, str> {
        match self {
            Word::Number(number) => Cow::Owned(number.to_string()),
            Word::Name(name) => name,
        }
    }
}

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Word::Number(number) => write!(f, "{number}"),
            Word::Name(name) => f.write_str(name),
        }
    }
}

/// The thresholds of an electrode's channels.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Thresholds(pub(crate) Vec<f32>);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Whole, D::Error> {
        struct Visit;
        impl Visitor<'_> for Visit {
            type Value = Whole;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number")
            }

            #[inline]
            fn visit_u64<E: Error>(self, number: u64) -> Result<Whole, E> {
                i64::try_from(number).map(Whole).map_err(E::custom)
            }

            fn visit_i64<E>(self, number: i64) -> Result<Whole, E> {
                Ok(Whole(number))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Whole, E> {
                // Beyond this not every whole number is a double.
                let exact = number.abs() < 9e15 && number.fract() == 0.0;
                exact
                    .then_some(Whole(number as i64))
                    .ok_or_else(|| E::custom("not whole"))
            }
        }
        from.deserialize_any(Visit)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Word<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Word<'a>, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Word<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a name")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Word<'de>, E> {
                i64::try_from(number).map(Word::Number).map_err(E::custom)
            }

            fn visit_i64<E>(self, number: i64) -> Result<Word<'de>, E> {
                Ok(Word::Number(number))
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Word<'de>, E> {
                Ok(Word::Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Word<'de>, E> {
                Ok(Word::Name(Cow::Owned(name.into())))
            }
        }
        from.deserialize_any(Visit)
    }
}

impl<'de> Deserialize<'de> for Thresholds {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Thresholds, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Thresholds;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("thresholds")
            }

            fn visit_u64<E>(self, number: u64) -> Result<Thresholds, E> {
                Ok(Thresholds(vec![number as f32]))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Thresholds, E> {
                Ok(Thresholds(vec![number as f32]))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Thresholds, E> {
                Ok(Thresholds(vec![number as f32]))
            }

            fn visit_unit<E>(self) -> Result<Thresholds, E> {
                Ok(Thresholds::default())
            }

            fn visit_seq<A: SeqAccess<'de>>(
                self,
                mut seq: A,
            ) -> Result<Thresholds, A::Error> {
                let mut all = Vec::new();
                while let Some(number) = seq.next_element()? {
                    if all.len() == MAX_THRESHOLDS {
                        return Err(A::Error::invalid_length(all.len() + 1, &self));
                    }
                    all.push(number);
                }
                Ok(Thresholds(all))
            }
        }
        from.deserialize_any(Visit)
    }
}
