//! Owns following a channel: the newest release that a host may believe in, and when the host has seen it.

use std::path::{Path, PathBuf};

use schema::channel::{Release, TARGET};
use schema::manifest::ActiveManifest;
use schema::timestamp::Timestamp;
use store::host::HostLock;
use store::regular;
use tough::{IntoVec, Repository, RepositoryLoader, TargetName};

use super::memory::Memory;
use super::transport::Client;
use super::{ChannelError, METADATA, Refusal, TARGETS, metadata, refusal, release};
use crate::fetch::FetchOptions;

/// A clock that is put right may step back by this many seconds; one that was ahead locks no host out for that long.
const CLOCK_STEP: u64 = 24 * 60 * 60;

/// Which channel, and for whom.
#[derive(Debug)]
pub struct Channel<'a> {
    /// An address, or a folder from `cwd`.
    pub place: &'a str,
    /// The current folder.
    pub cwd: &'a Path,
    /// How it is fetched.
    pub options: &'a FetchOptions,
    /// Where the host keeps what it remembers; need not be there.
    pub state: &'a Path,
    /// Whom to believe, for a host that remembers nothing yet.
    pub trusted: Option<&'a Path>,
    /// The time.
    pub now: Timestamp,
}

/// What a channel offers, checked.
#[derive(Debug)]
pub struct Offer {
    /// The release.
    pub release: Release,
    /// Its manifest.
    pub manifest: ActiveManifest,
    /// Where its artifact is.
    pub artifact: String,
    state: PathBuf,
    /// What the host remembered when it looked.
    before: Memory,
    /// What it is to remember from now on.
    after: Memory,
}

impl Channel<'_> {
    /// Fetches and checks what the channel offers. Changes nothing on the host.
    ///
    /// # Errors
    /// See [`ChannelError`].
    pub fn look(&self) -> Result<Offer, ChannelError> {
        let client = Client {
            cwd: self.cwd.to_owned(),
            options: self.options.clone(),
        };
        let before = Memory::read(self.state)?;
        let root = self.root(&before)?;
        let base = client.base(self.place)?;
        let part = |name: &str| {
            base.join(&format!("{name}/"))
                .map_err(|_| ChannelError::Place(self.place.to_owned()))
        };
        let mut loader = RepositoryLoader::new(&root, part(METADATA)?, part(TARGETS)?).transport(client);
        let aside = before.aside(self.state)?;
        if let Some(aside) = &aside {
            loader = loader.datastore(aside.path());
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(|error| ChannelError::failed("start fetching", error))?;
        let (repository, bytes) = runtime.block_on(load(loader))?;
        let (release, manifest) = release::read(&repository.targets().signed, &bytes)?;
        before.check_channel(&release.channel)?;
        let latest = Timestamp::from_unix(self.now.unix().saturating_sub(CLOCK_STEP));
        Ok(Offer {
            state: self.state.to_owned(),
            before,
            after: Memory::of(&repository, metadata::moment(latest)?)?,
            artifact: release::artifact(&base, &release)?.into(),
            release,
            manifest,
        })
    }

    /// The root that the host believes in: the one it remembers, else the one that is given.
    fn root(&self, before: &Memory) -> Result<Vec<u8>, ChannelError> {
        if let Some(root) = before.root() {
            return Ok(root.to_vec());
        }
        let path = self.cwd.join(self.trusted.ok_or(ChannelError::NoRoot)?);
        Ok(regular::read_behind(&path)?)
    }
}

async fn load(loader: RepositoryLoader<'_>) -> Result<(Repository, Vec<u8>), ChannelError> {
    let refused = |error: tough::error::Error| refusal::of(&error);
    let repository = loader.load().await.map_err(refused)?;
    let name = TargetName::new(TARGET).map_err(refused)?;
    let target = repository.read_target(&name).await.map_err(refused)?;
    let Some(target) = target else {
        let said = format!("there is no {TARGET}");
        return Err(ChannelError::Refused(Refusal::NoRelease(said)));
    };
    let bytes = target.into_vec().await.map_err(refused)?;
    Ok((repository, bytes))
}

impl Offer {
    /// Makes the host remember what it saw, so that it believes nothing older any more. The lock is that of the host: what is
    /// offered may be taken while it is held.
    ///
    /// # Errors
    /// [`ChannelError::Overtaken`] when the host has seen something else since it looked, and when it cannot be written.
    pub fn remember(&self, _lock: &HostLock) -> Result<(), ChannelError> {
        self.after.replace(&self.before, &self.state)
    }
}
