//! Chunks in bytes, without I/O.
//!
//! Nothing here allocates: a length is only told, and who reads decides what it may be.

/// What a file begins with.
pub const MAGIC: [u8; 4] = *b"XDF:";
/// What a boundary chunk holds, so that a reader who is lost finds the next chunk behind it.
pub const BOUNDARY: [u8; 16] = [
    0x43, 0xA5, 0x46, 0xDC, 0xCB, 0xF5, 0x41, 0x0F, 0xB3, 0x0E, 0xD5, 0x46, 0x73, 0x83,
    0xCB, 0xE4,
];
/// Bytes of the longest head: how long the length is, the length, tag and stream.
pub const MAX_HEAD: usize = 1 + 8 + 2 + 4;

/// What a chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag(pub u16);

impl Tag {
    /// XML about the file.
    pub const FILE_HEADER: Tag = Tag(1);
    /// XML about a stream.
    pub const STREAM_HEADER: Tag = Tag(2);
    /// Samples of a stream.
    pub const SAMPLES: Tag = Tag(3);
    /// How far a stream's clock is from the recorder's.
    pub const CLOCK_OFFSET: Tag = Tag(4);
    /// [`BOUNDARY`].
    pub const BOUNDARY: Tag = Tag(5);
    /// XML about what came of a stream.
    pub const STREAM_FOOTER: Tag = Tag(6);

    /// Whether the format names it. Others are passed over.
    pub fn is_known(self) -> bool {
        (1..=6).contains(&self.0)
    }

    /// Whether chunks of this tag are about one stream.
    pub fn has_stream(self) -> bool {
        matches!(self.0, 2 | 3 | 4 | 6)
    }
}

/// What stands before a chunk's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What the content is.
    pub tag: Tag,
    /// Which stream it is about; 0 where the tag is not about one.
    pub stream: u32,
    /// Bytes of the head itself.
    pub len: usize,
    /// Bytes of the content, as claimed.
    pub content: u64,
}

/// Why bytes are no head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHead {
    /// The length of the length is not one that the format has.
    #[error("a length of {0} bytes, which is none of 1, 4 and 8")]
    Width(u8),
    /// The chunk is too short for its own tag.
    #[error("a chunk of {length} bytes, too short for its tag {tag}")]
    Short {
        /// The tag it has.
        tag: u16,
        /// The length it claims.
        length: u64,
    },
}

impl Head {
    /// Reads a head. `None` if more bytes are needed for it.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Option<Head>, BadHead> {
        let Some((length, width)) = number(bytes)? else { return Ok(None) };
        let rest = &bytes[width..];
        let Some((tag, rest)) = rest.split_first_chunk() else { return Ok(None) };
        let tag = Tag(u16::from_le_bytes(*tag));
        let beside = if tag.has_stream() { 6 } else { 2 };
        let Some(content) = length.checked_sub(beside) else {
            return Err(BadHead::Short { tag: tag.0, length });
        };
        let stream = match (tag.has_stream(), rest.first_chunk()) {
            (true, Some(stream)) => u32::from_le_bytes(*stream),
            (true, None) => return Ok(None),
            (false, _) => 0,
        };
        Ok(Some(Head { tag, stream, len: width + beside as usize, content }))
    }

    /// Where the chunk ends that begins at `offset`, if numbers hold that.
    pub fn end(&self, offset: u64) -> Option<u64> {
        offset.checked_add(self.len as u64)?.checked_add(self.content)
    }

    /// Appends the head of a chunk with this content.
    pub fn put(tag: Tag, stream: u32, content: usize, out: &mut Vec<u8>) {
        let beside = if tag.has_stream() { 6 } else { 2 };
        put_number((content + beside) as u64, out);
        out.extend_from_slice(&tag.0.to_le_bytes());
        if tag.has_stream() {
            out.extend_from_slice(&stream.to_le_bytes());
        }
    }
}

/// A number of variable length, and the bytes that it takes: a chunk's length, a count of
/// samples, a string's length. `None` if more bytes are needed.
#[inline]
pub fn number(bytes: &[u8]) -> Result<Option<(u64, usize)>, BadHead> {
    let Some((width, rest)) = bytes.split_first() else { return Ok(None) };
    let number = match width {
        1 => rest.first().map(|n| u64::from(*n)),
        4 => rest.first_chunk().map(|n| u64::from(u32::from_le_bytes(*n))),
        8 => rest.first_chunk().map(|n| u64::from_le_bytes(*n)),
        _ => return Err(BadHead::Width(*width)),
    };
    Ok(number.map(|number| (number, 1 + usize::from(*width))))
}

/// Appends a number in as few bytes as the format has for it.
pub fn put_number(number: u64, out: &mut Vec<u8>) {
    match (u8::try_from(number), u32::try_from(number)) {
        (Ok(number), _) => out.extend_from_slice(&[1, number]),
        (_, Ok(number)) => {
            out.push(4);
            out.extend_from_slice(&number.to_le_bytes());
        }
        _ => {
            out.push(8);
            out.extend_from_slice(&number.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_comes_back_as_it_was() {
        for (tag, stream, content) in
            [(Tag::BOUNDARY, 0, 16), (Tag::SAMPLES, 7, 249), (Tag::SAMPLES, 7, 250)]
        {
            let mut bytes = Vec::new();
            Head::put(tag, stream, content, &mut bytes);
            let len = bytes.len();
            let head = Head { tag, stream, len, content: content as u64 };
            assert_eq!(Head::parse(&bytes), Ok(Some(head)));
            for cut in 0..len {
                assert_eq!(Head::parse(&bytes[..cut]), Ok(None), "{cut}");
            }
        }
    }

    #[test]
    fn what_is_no_head_is_refused() {
        assert_eq!(Head::parse(&[2, 0, 0]), Err(BadHead::Width(2)));
        let short = BadHead::Short { tag: 3, length: 5 };
        assert_eq!(Head::parse(&[1, 5, 3, 0]), Err(short));
        let absurd = [8, 255, 255, 255, 255, 255, 255, 255, 255, 3, 0, 1, 0, 0, 0];
        let head = Head::parse(&absurd).unwrap().unwrap();
        assert_eq!((head.content, head.end(4)), (u64::MAX - 6, None));
    }
}
