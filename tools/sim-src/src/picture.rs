//! Pictures with a moving bar, raw or as JPEG.

use anyhow::{Result, anyhow};
use jpeg_encoder::{ColorType, Encoder};

/// Draws frame `index`: a slope with a bar that wanders over it, so that a viewer sees
/// dropped and repeated frames.
pub(crate) fn draw(width: u32, height: u32, index: u64, pixels: &mut Vec<u8>) {
    pixels.clear();
    let bar = (index * 4 % u64::from(width)) as u32;
    for y in 0..height {
        let shade = (y * 160 / height) as u8;
        pixels.extend((0..width).map(|x| {
            if x.wrapping_sub(bar) < 16 { 250 } else { shade + (x * 64 / width) as u8 }
        }));
    }
}

/// Compresses a grey picture, as a camera in its MJPG mode does.
pub(crate) fn compress(
    width: u32,
    height: u32,
    pixels: &[u8],
    jpeg: &mut Vec<u8>,
) -> Result<()> {
    jpeg.clear();
    let (width, height) = (u16::try_from(width)?, u16::try_from(height)?);
    let encoder = Encoder::new(&mut *jpeg, 85);
    encoder
        .encode(pixels, width, height, ColorType::Luma)
        .map_err(|err| anyhow!("jpeg of {width}x{height}: {err}"))
}
