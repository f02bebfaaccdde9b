//! The places of the input that could not be read.

use std::collections::BTreeMap;

use libframe::decoder::{Cause, Damage};
use serde::Serialize;

/// Places that are listed one by one; the others are counted.
const MAX_PLACES: usize = 100;

#[derive(Debug, Default)]
pub(crate) struct Damages {
    pub(crate) places: Vec<Place>,
    pub(crate) by_cause: BTreeMap<&'static str, Sum>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Place {
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) cause: &'static str,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Sum {
    pub(crate) places: u64,
    pub(crate) bytes: u64,
}

impl Damages {
    pub(crate) fn add(&mut self, damage: &Damage) {
        let Damage { offset, bytes, .. } = *damage;
        let cause = damage.cause.name();
        let sum = self.by_cause.entry(cause).or_default();
        sum.places += 1;
        sum.bytes += bytes;
        if damage.cause != Cause::Late && self.places.len() < MAX_PLACES {
            self.places.push(Place { offset, bytes, cause });
        }
    }
}
