//! Owns how TUF's documents come: through the same client, proxies and certificates as everything else.

use std::path::PathBuf;

use futures_util::stream;
use tough::{Bytes, Transport, TransportError, TransportErrorKind, TransportStream, async_trait};
use url::Url;

use super::ChannelError;
use crate::fetch::{FetchOptions, document, medium};

/// The longest document, in bytes.
const LONGEST: u64 = 64 << 20;

/// Fetches documents from servers and folders.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) cwd: PathBuf,
    pub(super) options: FetchOptions,
}

impl Client {
    /// Where the channel at `place` is: an address, or a folder from the current one.
    pub(super) fn base(&self, place: &str) -> Result<Url, ChannelError> {
        let none = || ChannelError::Place(place.to_owned());
        if medium::is_address(place) {
            let mut place = place.to_owned();
            if !place.ends_with('/') {
                place.push('/');
            }
            return Url::parse(&place).map_err(|_| none());
        }
        let folder = std::fs::canonicalize(self.cwd.join(place)).map_err(|_| none())?;
        Url::from_directory_path(folder).map_err(|()| none())
    }
}

#[async_trait]
impl Transport for Client {
    async fn fetch(&self, url: Url) -> Result<TransportStream, TransportError> {
        match document::read(url.as_str(), &self.cwd, &self.options, LONGEST) {
            Ok(Some(bytes)) => Ok(Box::pin(stream::iter([Ok(Bytes::from(bytes))]))),
            Ok(None) => Err(TransportError::new(TransportErrorKind::FileNotFound, url)),
            Err(error) => Err(TransportError::new_with_cause(
                TransportErrorKind::Other,
                url,
                error,
            )),
        }
    }
}
