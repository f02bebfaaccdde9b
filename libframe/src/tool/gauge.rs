//! What a sink with a queue of its own tells of it while it runs: for the status line and
//! for STATS.

use std::sync::Arc;

use super::status::Counters;

/// Where a sink tells how its queue is, and what went out.
#[derive(Clone, Debug)]
pub struct Gauge(Arc<Counters>);

impl Gauge {
    pub(super) fn new(counters: &Arc<Counters>) -> Gauge {
        Gauge(Arc::clone(counters))
    }

    /// So many bytes wait now.
    pub fn waiting(&self, bytes: u64) {
        self.0.queued.set(bytes);
        self.0.deepest.raise(bytes);
    }

    /// So much more was sent, in the units of what is spoken there.
    pub fn sent(&self, units: u64, samples: u64, bytes: u64) {
        self.0.output.add_many(units, samples, bytes);
    }

    /// So many samples more did not get there.
    pub fn lost(&self, samples: u64) {
        self.0.lost.add(samples);
    }
}
