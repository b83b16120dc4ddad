//! Owns bringing what Debian has: upstream's file out of a source package, or a binary package.

use std::path::Path;

use schema::source::{RegistryFile, SourceDigest};
use store::work::WorkArea;

use super::super::error::{FetchProblem, WrongDigest};
use super::super::job::Job;
use super::super::publish_file;
use super::debian_lists::{AptLists, Lists};
use super::debian_sources::{Packages, Revision, candidates, revisions};
use store::process::ProcessError;

/// Puts what is wanted at `target`: the file that is named, of a source package; else the binary package.
pub(in super::super) fn fetch(
    job: &Job<'_>,
    lists: &AptLists,
    wanted: &RegistryFile,
    expected: SourceDigest,
    target: &Path,
) -> Result<(), FetchProblem> {
    let kind = if wanted.file.is_some() { "source" } else { "binary" };
    let from = format!("Debian {kind} package {} {}", wanted.name, wanted.version);
    job.ask_network(&from)?;
    let area = job.area()?;
    match &wanted.file {
        Some(file) => {
            let wanted = Wanted {
                name: &wanted.name,
                version: &wanted.version,
                file,
            };
            let lists = lists.get(job, Packages::Source)?;
            wanted.bring(job, &lists, &area, &from, expected)?;
            publish_file(&area.path().join(file), &from, expected, target)
        }
        None => {
            let lists = lists.get(job, Packages::Binary)?;
            let mut download = lists.apt(job, "apt-get");
            download
                .args(["-q", "download"])
                .arg(format!("{}={}", wanted.name, wanted.version))
                .current_dir(area.path());
            job.run(download, area.path())
                .map_err(|problem| gone(problem, &from, &lists))?;
            let file = super::file_in(area.path(), None, "apt-get")?;
            publish_file(&file, &from, expected, target)
        }
    }
}

/// One file of a source package.
struct Wanted<'a> {
    name: &'a str,
    version: &'a str,
    file: &'a str,
}

impl Wanted<'_> {
    /// Tries every revision that has the file: they share it, and of some that are listed it is gone.
    fn bring(
        &self,
        job: &Job<'_>,
        lists: &Lists,
        area: &WorkArea,
        from: &str,
        expected: SourceDigest,
    ) -> Result<(), FetchProblem> {
        let revisions = self.revisions(job, lists, area)?;
        let candidates = candidates(&revisions, self.version, self.file, &expected);
        let Some(first) = candidates.first() else {
            return Err(self.missing(&revisions, lists));
        };
        self.refuse_other_digest(first, from, expected)?;
        let mut last = None;
        for revision in candidates {
            match self.bring_revision(job, lists, area, revision) {
                Ok(()) if area.path().join(self.file).is_file() => return Ok(()),
                Ok(()) => {}
                Err(FetchProblem::Client(why)) => last = Some(why),
                Err(other) => return Err(other),
            }
        }
        Err(match last {
            Some(why) => gone(FetchProblem::Client(why), from, lists),
            None => FetchProblem::Missing(format!("`apt-get` did not bring {}", self.file)),
        })
    }

    fn revisions(
        &self,
        job: &Job<'_>,
        lists: &Lists,
        area: &WorkArea,
    ) -> Result<Vec<Revision>, FetchProblem> {
        let mut show = lists.apt(job, "apt-cache");
        show.args(["showsrc", "--only-source", "--", self.name]);
        match job.run(show, area.path()) {
            Ok(said) => Ok(revisions(&String::from_utf8_lossy(&said.stdout), self.name)),
            // That is how it says that there is none.
            Err(FetchProblem::Client(ProcessError::Failed { .. })) => Ok(Vec::new()),
            Err(other) => Err(other),
        }
    }

    fn bring_revision(
        &self,
        job: &Job<'_>,
        lists: &Lists,
        area: &WorkArea,
        revision: &Revision,
    ) -> Result<(), FetchProblem> {
        let mut source = lists.apt(job, "apt-get");
        source.args(["-q", "source", "--download-only", "--only-source"]);
        // Upstream's part alone, where that is what is wanted; it may be in several files.
        if self.file.contains(".orig") {
            source.arg("--tar-only");
        }
        source
            .arg("--")
            .arg(format!("{}={}", self.name, revision.version))
            .current_dir(area.path());
        job.run(source, area.path()).map(drop)
    }

    /// Debian states digests itself, so a wrong one is known before anything is fetched.
    fn refuse_other_digest(
        &self,
        revision: &Revision,
        from: &str,
        expected: SourceDigest,
    ) -> Result<(), FetchProblem> {
        let SourceDigest::Sha256(_) = expected else {
            return Ok(());
        };
        let stated = revision.sha256_of(self.file).unwrap_or_default();
        let Ok(got) = stated.parse::<schema::digest::Digest>() else {
            return Ok(());
        };
        let got = SourceDigest::Sha256(*got.as_bytes());
        if got == expected {
            return Ok(());
        }
        let from = from.to_owned();
        Err(WrongDigest { from, expected, got }.into())
    }

    fn missing(&self, revisions: &[Revision], lists: &Lists) -> FetchProblem {
        let mut message = format!(
            "the Debian archives that this machine uses have no file {} of version {} of the source package {}",
            self.file, self.version, self.name
        );
        if revisions.is_empty() {
            message.push_str("; they do not know that package");
        } else {
            let have: Vec<_> = revisions
                .iter()
                .map(|revision| revision.version.as_str())
                .collect();
            message.push_str("; they have ");
            message.push_str(&have.join(", "));
        }
        message.push_str(WHAT_TO_DO);
        message.push_str(&complaint(lists));
        FetchProblem::Missing(message)
    }
}

/// Debian keeps only the newest of each package.
const WHAT_TO_DO: &str = "\nIf Debian has replaced it, take the version that is there now, or fetch the file from upstream \
                          with `\"kind\": \"url_extract\"`.";

fn gone(problem: FetchProblem, from: &str, lists: &Lists) -> FetchProblem {
    match problem {
        FetchProblem::Client(ProcessError::Failed { stderr, .. }) => {
            let said = stderr.trim();
            FetchProblem::Missing(format!(
                "{from} is not to be had: {said}{WHAT_TO_DO}{}",
                complaint(lists)
            ))
        }
        other => other,
    }
}

fn complaint(lists: &Lists) -> String {
    match lists.complaint.trim() {
        "" => String::new(),
        said => format!("\n`apt-get update` said:\n{said}"),
    }
}
