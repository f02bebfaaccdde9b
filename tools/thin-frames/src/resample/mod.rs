//! Fewer samples a second of a stream of numbers: each stands for all that were before.

mod budget;
mod fir;
mod grid;
mod instants;
mod kaiser;
mod kernel;
mod number;
#[cfg(test)]
mod property;
mod ratio;
mod resampler;
mod window;
mod wish;

pub(crate) use self::budget::{Budget, MAX_MEMORY};
pub(crate) use self::grid::Grid;
pub(crate) use self::resampler::Resampler;
pub(crate) use self::wish::{Method, Partial, Shape, Target, Thinned, Wish};
