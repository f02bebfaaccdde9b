//! The names of the HDF5 layout, in one place for the writer and the reader.
//!
//! `man/framepipe-h5.5` tells what they hold. A name that is gone or means something else
//! is a new [`VERSION`].

/// What `format` at the root says.
pub const FORMAT_NAME: &str = "framepipe-h5";
/// What `format_version` at the root says.
pub const VERSION: i32 = 1;
/// What the folder of the journal is called: the recording's name and this.
pub const JOURNAL_ENDING: &str = ".journal";
/// The file in the journal's folder that holds a commit under way.
pub const COMMIT_FILE: &str = "commit";
/// The recording until its first commit is in it, in the journal's folder.
pub const UNBORN_FILE: &str = "new.h5";
/// The file in the journal's folder that the recorder holds a lock on.
pub const LOCK_FILE: &str = "lock";

/// Attributes of the root.
pub mod root {
    /// [`super::FORMAT_NAME`].
    pub const FORMAT: &str = "format";
    /// [`super::VERSION`], i32.
    pub const FORMAT_VERSION: &str = "format_version";
    /// i8: 1 after a clean close.
    pub const COMPLETE: &str = "complete";
    /// u64: the highest generation of the journal that is in the file.
    pub const JOURNAL: &str = "journal";
    /// Link to the only stream's `data`.
    pub const SENSOR_DATA: &str = "sensor_data";
    /// i32: distinct mapped sensors, else numbers in a sample.
    pub const SENSOR_COUNT: &str = "sensor_count";
    /// i64: bytes of a sample.
    pub const FRAME_SIZE_BYTES: &str = "frame_size_bytes";
    /// Make, model and serial of the device, or its port.
    pub const DEVICE: &str = "device";
}

/// The group of a session, and what is in it. The second is `session_2`.
pub mod session {
    /// The group's name.
    pub const GROUP: &str = "session";
    /// Attribute: the session's random id.
    pub const UUID: &str = "uuid";
    /// Attribute: the capturing host.
    pub const HOST: &str = "host";
    /// Attribute: the host's boot.
    pub const BOOT_ID: &str = "boot_id";
    /// Attribute, i64: the session's start on the wall clock.
    pub const START_REALTIME: &str = "start_realtime_ns";
    /// Attribute, i64: the same instant on CLOCK_MONOTONIC.
    pub const START_MONOTONIC: &str = "start_monotonic_ns";
    /// Attribute: why it ended; empty while it has not.
    pub const END_REASON: &str = "end_reason";
    /// Attribute, u32: the tag in the headers of its records.
    pub const TAG: &str = "tag";
    /// Attribute: the SESSION payload as JSON.
    pub const JSON: &str = "json";
    /// Attribute: the END payload as JSON.
    pub const END_JSON: &str = "end_json";
    /// Dataset, u8: the newest SESSION payload.
    pub const PAYLOAD: &str = "payload";
    /// Dataset, u8: the END payload.
    pub const END: &str = "end";
}

/// The group of the streams.
pub const STREAMS: &str = "streams";

/// What is in the group of a stream.
pub mod stream {
    /// Attribute: the name the stream calls itself.
    pub const NAME: &str = "name";
    /// Attribute, i32: its number in the session.
    pub const STREAM: &str = "stream";
    /// Attribute, i32: its session, from 1.
    pub const SESSION: &str = "session";
    /// Attribute, i32: which of the stream's groups this is, from 0. Samples of another form
    /// than those before begin a new one.
    pub const PART: &str = "part";
    /// Attribute.
    pub const MEDIA: &str = "media";
    /// Attribute.
    pub const DTYPE: &str = "dtype";
    /// Attribute, i32 for each dimension.
    pub const SHAPE: &str = "shape";
    /// Attribute, i32.
    pub const VERSION: &str = "version";
    /// Attribute, f64: what the device states; NaN if it does not.
    pub const RATE: &str = "rate";
    /// Attribute: pixel format.
    pub const FORMAT: &str = "format";
    /// Attribute: what instant a sample's time is.
    pub const STAMP: &str = "stamp";
    /// Attribute: the unit, if all channels have the same.
    pub const UNIT: &str = "unit";
    /// Attribute.
    pub const DEVICE_MAKE: &str = "device_make";
    /// Attribute.
    pub const DEVICE_MODEL: &str = "device_model";
    /// Attribute.
    pub const DEVICE_SERIAL: &str = "device_serial";
    /// Attribute.
    pub const DEVICE_PORT: &str = "device_port";
    /// Attribute: the description as JSON.
    pub const JSON: &str = "json";
    /// Attribute, i64: bytes of a sample; -1 if they vary.
    pub const SAMPLE_SIZE: &str = "sample_size";
    /// Attribute, f64, also of the root: measured.
    pub const SAMPLE_RATE: &str = "sample_rate_hz";
    /// Attribute, i64.
    pub const SAMPLE_COUNT: &str = "sample_count";
    /// Attribute, i64: what GAPs say is missing.
    pub const LOST: &str = "lost";
    /// Attribute, i64: the stream's clock minus that of the session, where they differ.
    pub const CLOCK_OFFSET: &str = "clock_offset_ns";
    /// Attribute, f64, also of the root: the first sample's time.
    pub const TIMESTAMP_START: &str = "timestamp_start";
    /// Attribute, f64, also of the root.
    pub const DURATION: &str = "duration_seconds";

    /// Dataset: the samples.
    pub const DATA: &str = "data";
    /// Dataset, u64: where each sample begins in `data`, if their size varies.
    pub const OFFSET: &str = "offset";
    /// Dataset, u32: how long each sample is, if that varies.
    pub const SIZE: &str = "size";
    /// Dataset, f64, also linked at the root: seconds since 1970.
    pub const TIMESTAMPS: &str = "timestamps";
    /// Dataset, i64: CLOCK_MONOTONIC.
    pub const TIME_NS: &str = "time_ns";
    /// Dataset, u64.
    pub const SEQ: &str = "seq";
    /// Dataset, u64.
    pub const DEVICE_TIME: &str = "device_time";
    /// Dataset, u8: which rows of `device_time` are one, where not all are.
    pub const DEVICE_TIME_VALID: &str = "device_time_valid";
}

/// What describes the numbers of a sample, by channel: a group in a stream's.
pub mod channels {
    /// The group.
    pub const GROUP: &str = "channels";
    /// Fixed strings.
    pub const LABELS: &str = "labels";
    /// Fixed strings.
    pub const UNITS: &str = "units";
    /// Fixed strings.
    pub const REGIONS: &str = "regions";
    /// f32, n × 3, mm; NaN unknown.
    pub const POSITIONS: &str = "positions";
}

/// What maps sensors to the numbers of a sample: a group in a stream's, linked at the root.
pub mod sensor_mapping {
    /// The group.
    pub const GROUP: &str = "sensor_mapping";
    /// i32.
    pub const SENSOR_IDS: &str = "sensor_ids";
    /// f32, n × 2, mm; NaN unknown.
    pub const POSITIONS: &str = "positions";
    /// Fixed strings.
    pub const REGIONS: &str = "regions";
    /// i32: the number's place in a sample.
    pub const DATA_FRAME_INDICES: &str = "data_frame_indices";
    /// Attribute, i32: what the places count from, 0.
    pub const INDEX_BASE: &str = "index_base";
}

/// All descriptions that a stream had: a group in a stream's.
pub mod descriptions {
    /// The group. Its columns are `row`, `payload` and `payload_end` of [`super::table`].
    pub const GROUP: &str = "descriptions";
}

/// The tables of records that are no samples, and their columns.
pub mod table {
    /// The group of EVENTs.
    pub const EVENTS: &str = "events";
    /// The group of GAPs.
    pub const GAPS: &str = "gaps";
    /// The group of CLOCKs.
    pub const CLOCK: &str = "clock";
    /// The group of STATS.
    pub const STATS: &str = "stats";

    /// i32: the session, from 1.
    pub const SESSION: &str = "session";
    /// i32: the stream's number; 0 for the session itself.
    pub const STREAM: &str = "stream";
    /// u64: the header's.
    pub const SEQ: &str = "seq";
    /// i64: the header's.
    pub const TIME_NS: &str = "time_ns";
    /// f64: seconds since 1970.
    pub const TIMESTAMPS: &str = "timestamps";
    /// u64: rows of the stream's `data` that came before.
    pub const ROW: &str = "row";
    /// u8: all payloads, back to back.
    pub const PAYLOAD: &str = "payload";
    /// u64: where each payload ends.
    pub const PAYLOAD_END: &str = "payload_end";

    /// Of EVENTs: S64, f64 (NaN if it is no number), S128, S64.
    pub const EVENT_COLUMNS: [&str; 4] = ["label", "value", "text", "source"];
    /// Of GAPs: u64, i64 (-1 unknown), S16, S64, i64, i64 (0 unknown), S128.
    pub const GAP_COLUMNS: [&str; 7] =
        ["first", "count", "reason", "stage", "from_ns", "to_ns", "detail"];
    /// Of CLOCKs: i64, i64 (0 unknown), i64 (-1 unknown), S64, i64 (0 unknown), i64 (-1
    /// unknown).
    pub const CLOCK_COLUMNS: [&str; 6] = [
        "monotonic_ns",
        "realtime_ns",
        "error_ns",
        "remote",
        "offset_ns",
        "round_trip_ns",
    ];
    /// Of STATS: S64 and i32; then numbers, i64 all of them.
    pub const STATS_COLUMNS: [&str; 16] = [
        "stage",
        "index",
        "from_ns",
        "to_ns",
        "in_records",
        "in_samples",
        "in_bytes",
        "out_records",
        "out_samples",
        "out_bytes",
        "dropped",
        "queue_bytes",
        "hop_p50_ns",
        "hop_p99_ns",
        "rss_bytes",
        "cpu_ns",
    ];
}
