//! Which streams there are: liblsl asks for them all the time, by the user's configuration
//! of it, and forgets those that do not answer any more.

use std::ffi::{CStr, CString};
use std::net::{IpAddr, SocketAddr};
use std::ptr;
use std::sync::Arc;

use crate::api::Handle;
use crate::element::Element;
use crate::info::{Info, InfoError};
use crate::library::Library;

/// The most streams that one search finds.
const MAX_FOUND: usize = 1024;

/// A search that goes on until it is dropped.
pub struct Resolver {
    library: Arc<Library>,
    handle: Handle,
}

/// A stream that answered, and where it does.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// What it says of itself in short: without its `desc`.
    pub info: Info,
    /// Where its samples and its full description are.
    pub data: SocketAddr,
    /// Where its clock is.
    pub service: SocketAddr,
}

/// Why a stream that answered cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FoundError {
    /// What it says of itself makes no sense.
    #[error(transparent)]
    Info(#[from] InfoError),
    /// It does not say where it is.
    #[error("stream '{0}' tells no address")]
    Address(String),
}

/// The search could not begin.
#[derive(Debug, thiserror::Error)]
#[error("liblsl refuses to search for {0:?}; is it an XPath predicate, like type='EEG'?")]
pub struct SearchError(String);

impl Resolver {
    /// Begins to search for all streams, or those of an XPath predicate. Who does not answer
    /// for so many seconds is forgotten.
    #[allow(unsafe_code, reason = "C functions")]
    pub fn new(
        library: &Arc<Library>,
        predicate: Option<&str>,
        forget: f64,
    ) -> Result<Resolver, SearchError> {
        let refuse = || SearchError(predicate.unwrap_or_default().to_owned());
        let text = CString::new(predicate.unwrap_or_default()).map_err(|_| refuse())?;
        let api = library.api();
        // SAFETY: the text ends in NUL and is copied before the call returns.
        let handle = unsafe {
            match predicate {
                Some(_) => (api.create_continuous_resolver_bypred)(text.as_ptr(), forget),
                None => (api.create_continuous_resolver)(forget),
            }
        };
        match handle.is_null() {
            true => Err(refuse()),
            false => Ok(Resolver { library: Arc::clone(library), handle }),
        }
    }

    /// What is there now.
    #[allow(unsafe_code, reason = "C functions")]
    pub fn results(&self) -> Vec<Result<Found, FoundError>> {
        let api = self.library.api();
        let mut handles = [ptr::null_mut(); MAX_FOUND];
        // SAFETY: the resolver is live, and there is room for as many as we say.
        let count = unsafe {
            (api.resolver_results)(self.handle, handles.as_mut_ptr(), MAX_FOUND as u32)
        };
        let count = usize::try_from(count).unwrap_or(0).min(MAX_FOUND);
        handles[..count].iter().map(|info| self.found(*info)).collect()
    }

    /// Reads what liblsl holds of a stream, and gives it back.
    #[allow(unsafe_code, reason = "C functions")]
    fn found(&self, info: Handle) -> Result<Found, FoundError> {
        let api = self.library.api();
        // SAFETY: the handle is of `resolver_results`, which leaves it to us to destroy; it
        // is used by nobody after that. The text is ours until it is given back.
        let xml = unsafe {
            let text = (api.get_xml)(info);
            let xml = match text.is_null() {
                true => String::new(),
                false => CStr::from_ptr(text).to_string_lossy().into_owned(),
            };
            (api.destroy_string)(text);
            (api.destroy_streaminfo)(info);
            xml
        };
        Found::read(&xml)
    }
}

impl Drop for Resolver {
    #[allow(unsafe_code, reason = "a C function")]
    fn drop(&mut self) {
        // SAFETY: it is live, and used by nobody after this.
        unsafe { (self.library.api().destroy_continuous_resolver)(self.handle) }
    }
}

impl Found {
    /// Reads a stream's short description, with the addresses that liblsl put there.
    fn read(xml: &str) -> Result<Found, FoundError> {
        let info = Info::from_xml(xml)?;
        let root = Element::parse(xml).map_err(InfoError::from)?;
        let address = |host: &str, port: &str| {
            let host: IpAddr = root.text_at(host)?.parse().ok()?;
            let port = root.text_at(port)?.parse().ok().filter(|port| *port != 0)?;
            Some(SocketAddr::new(host, port))
        };
        let both =
            |host, data, service| Some((address(host, data)?, address(host, service)?));
        let place = both("v4address", "v4data_port", "v4service_port")
            .or_else(|| both("v6address", "v6data_port", "v6service_port"));
        let (data, service) =
            place.ok_or_else(|| FoundError::Address(info.name.clone()))?;
        Ok(Found { info, data, service })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xml(parts: &str) -> String {
        format!(
            "<info><name>n</name><channel_count>1</channel_count>\
             <channel_format>int8</channel_format>{parts}</info>"
        )
    }

    #[test]
    fn a_stream_is_found_by_the_first_address_that_is_one() {
        let four = "<v4address>10.0.0.7</v4address><v4data_port>16572</v4data_port>\
                    <v4service_port>16573</v4service_port>";
        let six = "<v6address>::1</v6address><v6data_port>16574</v6data_port>\
                   <v6service_port>16575</v6service_port>";
        let found = Found::read(&xml(&format!("{four}{six}"))).unwrap();
        assert_eq!(found.data.to_string(), "10.0.0.7:16572");
        assert_eq!(found.service.to_string(), "10.0.0.7:16573");
        let found = Found::read(&xml(&format!("<v4address></v4address>{six}"))).unwrap();
        assert_eq!(found.data.to_string(), "[::1]:16574");
        let none = four.replace("16572", "0");
        assert!(matches!(Found::read(&xml(&none)), Err(FoundError::Address(_))));
        assert!(matches!(Found::read("<info"), Err(FoundError::Info(_))));
    }
}
