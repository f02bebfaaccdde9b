//! `jitter-report`
