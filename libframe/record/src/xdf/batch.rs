//! The payload of a BATCH, made sample by sample where its length is known before.

/// A payload as it grows.
pub(super) struct Batch {
    /// The first sample's time.
    pub(super) first: i64,
    /// Samples are put behind it.
    pub(super) payload: Vec<u8>,
    /// Where the next time goes, and the next device time.
    at: usize,
    device_at: usize,
}

/// Bytes of the count, and of nothing.
const FRONT: usize = 8;

impl Batch {
    /// Begins the payload of so many samples in an empty buffer.
    pub(super) fn new(mut payload: Vec<u8>, n: usize, timed: bool) -> Batch {
        payload.extend_from_slice(&(n as u32).to_le_bytes());
        payload.extend_from_slice(&[0; 4]);
        let device_at = FRONT + 8 * n;
        payload.resize(if timed { device_at + 8 * n } else { device_at }, 0);
        Batch { first: 0, payload, at: FRONT, device_at }
    }

    /// The next sample's time.
    #[inline]
    pub(super) fn time(&mut self, time: i64) {
        if self.at == FRONT {
            self.first = time;
        }
        put(&mut self.payload, self.at, time.wrapping_sub(self.first).to_le_bytes());
        self.at += 8;
    }

    /// The next sample's time by its device.
    #[inline]
    pub(super) fn device_time(&mut self, time: u64) {
        put(&mut self.payload, self.device_at, time.to_le_bytes());
        self.device_at += 8;
    }
}

#[inline]
fn put(payload: &mut [u8], at: usize, word: [u8; 8]) {
    if let Some(place) = payload.get_mut(at..at + 8) {
        place.copy_from_slice(&word);
    }
}
