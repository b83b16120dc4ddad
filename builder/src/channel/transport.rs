//! Owns how TUF's documents come: through the same client, proxies and certificates as everything else.

use std::iter;
use std::path::PathBuf;

use futures_util::stream;
use tough::{Bytes, Transport, TransportError, TransportErrorKind, TransportStream, async_trait};
use url::Url;

use super::ChannelError;
use crate::fetch::document::{DocumentError, Pieces};
use crate::fetch::{FetchOptions, medium};

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

/// What a stream gives.
type Given = Result<Bytes, TransportError>;

impl Client {
    fn pieces(&self, url: Url) -> Box<dyn Iterator<Item = Given> + Send + Sync> {
        match Pieces::open(url.as_str(), &self.cwd, &self.options) {
            Ok(Some(pieces)) => {
                Box::new(pieces.map(move |piece| piece.map(Bytes::from).map_err(|error| failed(&url, error))))
            }
            Ok(None) => {
                let absent = TransportError::new(TransportErrorKind::FileNotFound, url);
                Box::new(iter::once(Err(absent)))
            }
            Err(error) => Box::new(iter::once(Err(failed(&url, error)))),
        }
    }
}

fn failed(url: &Url, error: DocumentError) -> TransportError {
    let kind = match error.is_forbidden() {
        true => TransportErrorKind::FileNotFound,
        false => TransportErrorKind::Other,
    };
    TransportError::new_with_cause(kind, url, error)
}

#[async_trait]
impl Transport for Client {
    /// Gives what goes wrong within the stream, since any error of this call would pass for a newer root that is not there.
    async fn fetch(&self, url: Url) -> Result<TransportStream, TransportError> {
        Ok(Box::pin(stream::iter(self.pieces(url))))
    }
}
