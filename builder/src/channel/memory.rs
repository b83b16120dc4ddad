//! Owns what a host remembers of the channel that it follows, so that nobody shows it an older state or another channel.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use jiff::Timestamp as Moment;
use schema::channel::ChannelName;
use store::durable;
use store::io_error::{IoContext, IoError};
use store::regular;
use store::work::WorkArea;
use tough::Repository;
use tough::schema::{Signed, Targets};

use super::{ChannelError, MODE, ROOT, Refusal, SNAPSHOT, TARGETS_JSON, TIMESTAMP, metadata, release};

/// What the library of the format keeps there, too.
const LATEST_TIME: &str = "latest_known_time.json";

/// The documents, in the order in which they are written: a root makes a host follow the channel, whose name is in the
/// targets.
const DOCUMENTS: [&str; 4] = [TARGETS_JSON, ROOT, SNAPSHOT, TIMESTAMP];

/// What a host remembers at one moment.
#[derive(Debug)]
pub(super) struct Memory {
    /// The documents that it last believed, by their names.
    documents: BTreeMap<&'static str, Vec<u8>>,
    /// No clock that is right says an earlier time.
    latest: Option<Moment>,
}

impl Memory {
    /// What is remembered in the folder `state`, which need not be there.
    pub(super) fn read(state: &Path) -> Result<Self, IoError> {
        let read = |name: &str| regular::read_if_there(&state.join(name));
        let mut documents = BTreeMap::new();
        for name in DOCUMENTS {
            documents.extend(read(name)?.map(|bytes| (name, bytes)));
        }
        let latest = read(LATEST_TIME)?.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Ok(Self { documents, latest })
    }

    /// What a host is to remember that was shown `repository` and believes it.
    pub(super) fn of(repository: &Repository, latest: Moment) -> Result<Self, ChannelError> {
        let documents = [
            (TARGETS_JSON, metadata::to_bytes(repository.targets())?),
            (ROOT, metadata::to_bytes(repository.root())?),
            (SNAPSHOT, metadata::to_bytes(repository.snapshot())?),
            (TIMESTAMP, metadata::to_bytes(repository.timestamp())?),
        ];
        Ok(Self {
            documents: documents.into(),
            latest: Some(latest),
        })
    }

    /// The root that the host believes in; nothing when it follows no channel.
    pub(super) fn root(&self) -> Option<&[u8]> {
        self.documents.get(ROOT).map(Vec::as_slice)
    }

    /// Fails when the host follows another channel than `shown`: one with the same keys has signatures that are as good.
    pub(super) fn check_channel(&self, shown: &ChannelName) -> Result<(), ChannelError> {
        let targets = self.root().and_then(|_| self.documents.get(TARGETS_JSON));
        let targets = targets.and_then(|bytes| serde_json::from_slice::<Signed<Targets>>(bytes).ok());
        let release = targets.and_then(|targets| release::named(&targets.signed).ok().map(|(_, it)| it));
        match release.map(|release| release.channel) {
            Some(followed) if followed != *shown => Err(ChannelError::Refused(Refusal::OtherChannel {
                shown: shown.clone(),
                followed,
            })),
            _ => Ok(()),
        }
    }

    /// A copy in `state`, which the library may write to before everything is checked; nothing for a host that follows no
    /// channel.
    pub(super) fn aside(&self, state: &Path) -> Result<Option<WorkArea>, ChannelError> {
        if self.root().is_none() {
            return Ok(None);
        }
        let area = WorkArea::partial(state, "look")?;
        // The library is given the root by itself.
        for (name, bytes) in self.documents.iter().filter(|(name, _)| **name != ROOT) {
            let path = area.path().join(name);
            fs::write(&path, bytes).at("write", path)?;
        }
        if let Some(latest) = &self.latest {
            let path = area.path().join(LATEST_TIME);
            fs::write(&path, metadata::to_bytes(latest)?).at("write", path)?;
        }
        Ok(Some(area))
    }

    /// Makes this what is remembered in `state`, after `before` was. The caller has the lock of the host.
    ///
    /// # Errors
    /// [`ChannelError::Overtaken`] when something else is remembered by now, which may be newer.
    pub(super) fn replace(&self, before: &Self, state: &Path) -> Result<(), ChannelError> {
        let now = Self::read(state)?;
        let is_known = now.documents == self.documents;
        if !is_known && now.documents != before.documents {
            return Err(ChannelError::Overtaken(state.to_owned()));
        }
        durable::create_folders(state)?;
        // Each is whole when it is there, and none is older than what it replaces. So whatever a kill leaves of two moments
        // lets nothing pass that the earlier one would have stopped.
        for name in DOCUMENTS.iter().filter(|_| !is_known) {
            if let Some(bytes) = self.documents.get(name) {
                durable::write(&state.join(name), bytes, MODE)?;
            }
        }
        if let Some(latest) = self.latest.max(now.latest) {
            durable::write(&state.join(LATEST_TIME), &metadata::to_bytes(&latest)?, MODE)?;
        }
        Ok(())
    }
}
