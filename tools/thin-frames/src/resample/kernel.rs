//! What makes output samples of input samples; the numbering is not its business.

/// What makes output samples of the input samples that its grid says.
pub(crate) trait Kernel: std::fmt::Debug {
    /// Forgets all; the output that is finished next is this one.
    fn begin(&mut self, next: u64);

    /// Takes a sample, of which the numbers at the places `absent` are missing. Samples come
    /// in order, and where one is missing it is left out.
    fn push(&mut self, seq: u64, sample: &[u8], absent: &[u32]);

    /// Appends the next output, and goes on to the one after it. Returns false, and what it
    /// appended is nothing, if there were not the samples for it.
    fn finish(&mut self, out: &mut Vec<u8>) -> bool;
}
