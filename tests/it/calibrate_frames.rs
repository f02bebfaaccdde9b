//! `calibrate-frames`
