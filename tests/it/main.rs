//! One test binary for all tools: what holds for all of them, then a module for each.

#![allow(clippy::unwrap_used, reason = "an unwrap that fails is a test that fails")]

mod books;
mod chaos;
mod contract;
mod damage;
mod full_disk;
mod interop;
mod ledger;
mod memory;
mod source;
mod spec;
mod tidy;
mod xdf_recording;
mod zmtp;

mod batch_frames;
mod calibrate_frames;
mod capture_glove;
mod clip_frames;
mod fan_out;
mod inspect_frames;
mod jitter_report;
mod labrecord;
mod lsl_src;
mod mark_frames;
mod merge_frames;
mod open_ephys_to_osc;
mod pick_frames;
mod plan_report;
mod queue_frames;
mod record_session;
mod repair_frames;
mod replay;
mod sim_device;
mod sim_src;
mod thin_frames;
mod to_h5;
mod to_lsl;
mod to_metrics;
mod to_osc;
mod to_text;
mod to_xdf;
mod to_zmq;
mod zmq_src;
