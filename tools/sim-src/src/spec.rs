//! What to simulate, as written on the command line.

use libframe::tool::parse_rate;

/// Kinds of simulated devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Device {
    Glove,
    Camera,
    Ephys,
    Control,
    Thermal,
    #[default]
    Sine,
}

impl Device {
    const ALL: [(&'static str, Device); 6] = [
        ("glove", Device::Glove),
        ("camera", Device::Camera),
        ("ephys", Device::Ephys),
        ("control", Device::Control),
        ("thermal", Device::Thermal),
        ("sine", Device::Sine),
    ];

    pub(crate) fn name(self) -> &'static str {
        Device::ALL
            .iter()
            .find(|(_, device)| *device == self)
            .map_or("", |(name, _)| name)
    }

    /// Samples a second of the real one.
    pub(crate) fn rate(self) -> f64 {
        match self {
            Device::Glove => 217.0,
            Device::Camera | Device::Control => 30.0,
            Device::Ephys => 30_000.0,
            Device::Thermal => 8.0,
            Device::Sine => 100.0,
        }
    }

    pub(crate) fn channels(self) -> u32 {
        if self == Device::Ephys { 32 } else { 1 }
    }
}

/// How fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rate {
    Hz(f64),
    /// Without waiting; capture times are then those of the device's own rate.
    Max,
}

impl Rate {
    pub(crate) fn parse(text: &str) -> Result<Rate, String> {
        if text == "max" {
            return Ok(Rate::Max);
        }
        match parse_rate(text) {
            Ok(rate) if (1e-3..=1e8).contains(&rate) => Ok(Rate::Hz(rate)),
            _ => Err(format!("{text:?} is no rate; say 217, 30k or max")),
        }
    }
}

/// Settings for streams that have none of their own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Defaults {
    pub(crate) rate: Option<Rate>,
    pub(crate) channels: Option<u32>,
}

/// A picture's form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    #[default]
    Mjpg,
    Gray,
}

/// One stream to simulate.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Spec {
    pub(crate) device: Device,
    pub(crate) name: Option<String>,
    pub(crate) rate: Option<f64>,
    pub(crate) channels: Option<u32>,
    pub(crate) size: Option<(u32, u32)>,
    pub(crate) format: Format,
    pub(crate) block: Option<u32>,
}

impl Spec {
    pub(crate) fn parse(text: &str) -> Result<Spec, String> {
        let (kind, settings) = text.split_once(':').unwrap_or((text, ""));
        let names = || Device::ALL.map(|(name, _)| name).join(", ");
        let device = Device::ALL.iter().find(|(name, _)| *name == kind);
        let device =
            device.ok_or_else(|| format!("{kind:?}: streams are {}", names()))?.1;
        let mut spec = Spec { device, ..Spec::default() };
        for setting in settings.split(',').filter(|setting| !setting.is_empty()) {
            spec.set(setting)?;
        }
        Ok(spec)
    }

    fn set(&mut self, setting: &str) -> Result<(), String> {
        let hint =
            "settings are name=, rate=, channels=, size=WxH, format=mjpg|gray, block=";
        let wrong = || format!("{setting:?}: {hint}");
        let (key, value) = setting.split_once('=').ok_or_else(wrong)?;
        let number = |most: u32| {
            let number = value.parse::<u32>().ok();
            number.filter(|n| (1..=most).contains(n)).ok_or_else(wrong)
        };
        match (key, value) {
            ("name", name) if !name.is_empty() => self.name = Some(name.into()),
            ("rate", _) => match Rate::parse(value)? {
                Rate::Hz(rate) => self.rate = Some(rate),
                Rate::Max => {
                    return Err("rate=max is for all streams: use --rate max".into());
                }
            },
            ("channels", _) => self.channels = Some(number(16384)?),
            ("block", _) => self.block = Some(number(10_000)?),
            ("format", "mjpg") => self.format = Format::Mjpg,
            ("format", "gray") => self.format = Format::Gray,
            ("size", _) => self.size = Some(size(value).ok_or_else(wrong)?),
            _ => return Err(wrong()),
        }
        Ok(())
    }
}

fn size(text: &str) -> Option<(u32, u32)> {
    let (width, height) = text.split_once('x')?;
    let (width, height) = (width.parse().ok()?, height.parse().ok()?);
    let sane = (1..=4096).contains(&width) && (1..=4096).contains(&height);
    sane.then_some((width, height))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_follow_the_device() {
        let spec = Spec::parse("sine:channels=8,rate=1k,name=left").unwrap();
        assert_eq!(
            (spec.device, spec.channels, spec.rate),
            (Device::Sine, Some(8), Some(1e3))
        );
        assert_eq!(spec.name.as_deref(), Some("left"));
        let spec = Spec::parse("camera:size=320x240,format=gray").unwrap();
        assert_eq!((spec.size, spec.format), (Some((320, 240)), Format::Gray));
    }

    #[test]
    fn mistakes_name_what_is_possible() {
        assert!(Spec::parse("gloves").unwrap_err().contains("glove, camera"));
        assert!(Spec::parse("sine:chanels=8").unwrap_err().contains("channels="));
        assert!(Spec::parse("camera:size=0x9").is_err());
        assert!(Rate::parse("fast").unwrap_err().contains("max"));
    }
}
