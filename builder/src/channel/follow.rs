//! Owns following a channel: the newest release that a host may believe in, and what the host remembers of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use schema::channel::{ChannelName, Release, TARGET};
use schema::manifest::ActiveManifest;
use schema::timestamp::Timestamp;
use store::durable;
use store::io_error::{IoContext, IoError};
use store::removal;
use tough::schema::{Signed, Targets};
use tough::{IntoVec, Repository, RepositoryLoader, TargetName};

use super::transport::Client;
use super::{
    ChannelError, METADATA, MODE, ROOT, Refusal, SNAPSHOT, TARGETS, TARGETS_JSON, TIMESTAMP, metadata,
    refusal, release,
};
use crate::fetch::FetchOptions;

/// What the library of the format keeps there, too.
const LATEST_TIME: &str = "latest_known_time.json";

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
    memory: Memory,
}

/// The documents that the host keeps, so that nobody shows it older ones.
#[derive(Debug)]
struct Memory {
    state: PathBuf,
    files: [(&'static str, Vec<u8>); 5],
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
        let root = self.root()?;
        let base = client.base(self.place)?;
        let part = |name: &str| {
            base.join(&format!("{name}/"))
                .map_err(|_| ChannelError::Place(self.place.to_owned()))
        };
        let mut loader = RepositoryLoader::new(&root, part(METADATA)?, part(TARGETS)?).transport(client);
        let aside = Aside::of(self.state)?;
        if let Some(aside) = &aside {
            loader = loader.datastore(&aside.0);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let runtime = runtime.map_err(|error| ChannelError::failed("start fetching", error))?;
        let (repository, bytes) = runtime.block_on(load(loader))?;
        let (release, manifest) = release::read(&repository.targets().signed, &bytes)?;
        self.check_channel(&release.channel)?;
        Ok(Offer {
            memory: self.memory(&repository)?,
            artifact: release::artifact(&base, &release)?.into(),
            release,
            manifest,
        })
    }

    /// The root that the host believes in: the one it remembers, else the one that is given.
    fn root(&self) -> Result<Vec<u8>, ChannelError> {
        let known = self.state.join(ROOT);
        match (fs::read(&known), self.trusted) {
            (Ok(root), _) => Ok(root),
            (Err(error), Some(trusted)) if error.kind() == io::ErrorKind::NotFound => {
                let path = self.cwd.join(trusted);
                Ok(fs::read(&path).at("read", path)?)
            }
            (Err(error), None) if error.kind() == io::ErrorKind::NotFound => Err(ChannelError::NoRoot),
            (Err(error), _) => Err(error).at("read", known).map_err(Into::into),
        }
    }

    /// Fails when the host follows another channel: one with the same keys has signatures that are as good.
    fn check_channel(&self, shown: &ChannelName) -> Result<(), ChannelError> {
        let targets = fs::read(self.state.join(TARGETS_JSON)).ok();
        let targets = targets.and_then(|bytes| serde_json::from_slice::<Signed<Targets>>(&bytes).ok());
        let release = targets.and_then(|targets| release::named(&targets.signed).ok().map(|(_, it)| it));
        match release.map(|release| release.channel) {
            Some(followed) if followed != *shown => Err(ChannelError::Refused(Refusal::OtherChannel {
                shown: shown.clone(),
                followed,
            })),
            _ => Ok(()),
        }
    }

    fn memory(&self, repository: &Repository) -> Result<Memory, ChannelError> {
        let latest = Timestamp::from_unix(self.now.unix().saturating_sub(CLOCK_STEP));
        let known = fs::read(self.state.join(LATEST_TIME)).ok();
        let known = known.and_then(|bytes| serde_json::from_slice::<jiff::Timestamp>(&bytes).ok());
        let latest = metadata::moment(latest)?.max(known.unwrap_or(jiff::Timestamp::UNIX_EPOCH));
        Ok(Memory {
            state: self.state.to_owned(),
            files: [
                (ROOT, metadata::to_bytes(repository.root())?),
                (LATEST_TIME, metadata::to_bytes(&latest)?),
                (TARGETS_JSON, metadata::to_bytes(repository.targets())?),
                (SNAPSHOT, metadata::to_bytes(repository.snapshot())?),
                (TIMESTAMP, metadata::to_bytes(repository.timestamp())?),
            ],
        })
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
    /// Makes the host remember what it saw, so that it believes nothing older any more.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn remember(&self) -> Result<(), ChannelError> {
        let Memory { state, files } = &self.memory;
        fs::create_dir_all(state).at("make folder", state)?;
        // Each is whole and signed for itself; what is there of two moments believes nothing that either would not.
        for (name, bytes) in files {
            durable::write(&state.join(name), bytes, MODE)?;
        }
        Ok(())
    }
}

/// A copy of what the host remembers, which the library may write to before everything is checked.
struct Aside(PathBuf);

impl Aside {
    fn of(state: &Path) -> Result<Option<Self>, IoError> {
        if !state.join(ROOT).exists() {
            return Ok(None);
        }
        let aside = Self(state.join(".partial"));
        let _ = removal::remove(&aside.0);
        fs::create_dir(&aside.0).at("make folder", &aside.0)?;
        for name in [LATEST_TIME, TARGETS_JSON, SNAPSHOT, TIMESTAMP] {
            match fs::copy(state.join(name), aside.0.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(error).at("copy", state.join(name));
                }
                _ => {}
            }
        }
        Ok(Some(aside))
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // What stays is removed the next time.
        let _ = removal::remove(&self.0);
    }
}
