//! Owns the audit of a fleet: which of many hosts are not as the manifest says, and how.

use std::collections::{BTreeMap, BTreeSet};

use schema::canonical::CanonicalError;
use schema::digest::Digest;
use schema::generation::{Generation, GenerationNumber};
use schema::id::PackageId;
use schema::name::{PackageName, RoleName};
use schema::status::{ActiveStatus, StatusReport};
use serde::Serialize;

use super::Manifest;

/// One report as it came in.
#[derive(Debug, Clone)]
pub struct Received {
    /// Where it came from, e.g. the file's name; stands for the host when the report cannot be read.
    pub origin: String,
    /// The report, or why it is none.
    pub report: Result<StatusReport, String>,
}

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// What hosts were held against.
    pub reference: Reference,
    /// How many reports there were.
    pub hosts: usize,
    /// How many of them are as they should be.
    pub matching: usize,
    /// Differences that several hosts share, the most common first.
    pub common: Vec<Common>,
    /// The others, sorted by host.
    pub differing: Vec<DifferingHost>,
}

/// A difference that several hosts share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Common {
    /// How many.
    pub hosts: usize,
    /// The difference.
    #[serde(flatten)]
    pub difference: HostDifference,
}

/// What hosts are held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reference {
    /// A manifest: each host against what it says of the host's roles.
    Manifest {
        /// Its digest.
        digest: Digest,
    },
    /// What most hosts of the same roles have.
    Majority,
}

/// One host that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DifferingHost {
    /// Its name.
    pub host: String,
    /// Where the report came from.
    pub origin: String,
    /// Its roles.
    pub roles: Vec<RoleName>,
    /// Its root digest, when something is active.
    pub root_digest: Option<Digest>,
    /// In what ways.
    pub differences: Vec<HostDifference>,
}

/// One way in which a host differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, thiserror::Error)]
#[serde(tag = "difference", rename_all = "snake_case")]
pub enum HostDifference {
    /// The report cannot be used.
    #[error("unusable report: {reason}")]
    Unusable {
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing is active.
    #[error("nothing is active")]
    Inactive,
    /// The host itself says that something is wrong.
    #[error("{what}")]
    Problem {
        /// In its words.
        what: String,
    },
    /// An activation is under way or was interrupted.
    #[error("an activation of generation {to} is not finished")]
    Pending {
        /// What was to be active, by that host's numbers.
        to: GenerationNumber,
    },
    /// Another distribution, version, prefix or platform.
    #[error("{what} `{found}` instead of `{expected}`")]
    Distribution {
        /// Which of them.
        what: DistributionField,
        /// As it should be.
        expected: String,
        /// As it is.
        found: String,
    },
    /// Made from another manifest.
    #[error("another manifest: {found} instead of {expected}")]
    Manifest {
        /// As it should be.
        expected: Digest,
        /// As it is.
        found: Digest,
    },
    /// Another configuration, or none, or one where none should be.
    #[error("another configuration: {} instead of {}", shown(found), shown(expected))]
    Configuration {
        /// As it should be.
        expected: Option<Digest>,
        /// As it is.
        found: Option<Digest>,
    },
    /// A local change.
    #[error("{id} is a local change of {of}{}", files(changed))]
    Override {
        /// The copy.
        id: PackageId,
        /// What was copied.
        of: PackageId,
        /// The files that differ.
        changed: Vec<String>,
    },
    /// A package that is not active, but should be.
    #[error("{id} is not active")]
    PackageMissing {
        /// The package.
        id: PackageId,
    },
    /// A package that is active, but should not be.
    #[error("{id} should not be active")]
    PackageExtra {
        /// The package.
        id: PackageId,
    },
    /// Another package of that name.
    #[error("{found} is active instead of {expected}")]
    PackageOther {
        /// The name.
        name: PackageName,
        /// As it should be.
        expected: PackageId,
        /// As it is.
        found: PackageId,
    },
    /// The package of that ID, but with other files.
    #[error("{id} has the tree digest {found} instead of {expected}")]
    Tree {
        /// The package.
        id: PackageId,
        /// As it should be.
        expected: Digest,
        /// As it is.
        found: Digest,
    },
}

/// What says which distribution a host runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DistributionField {
    /// Its name.
    Name,
    /// Its version.
    Version,
    /// Where the store stands.
    Prefix,
    /// What packages run on.
    Platform,
}

impl std::fmt::Display for DistributionField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Name => "distribution",
            Self::Version => "version",
            Self::Prefix => "prefix",
            Self::Platform => "platform",
        })
    }
}

fn shown(digest: &Option<Digest>) -> String {
    digest.map_or_else(|| "none".to_owned(), |digest| digest.to_string())
}

fn files(changed: &[String]) -> String {
    match changed {
        [] => String::new(),
        some => format!(", changed: {}", some.join(", ")),
    }
}

/// Holds each of `reports` against `manifest` or, without one, against what most hosts of the same roles have.
///
/// # Errors
/// When what is expected has no JSON form.
pub fn audit(reports: Vec<Received>, manifest: Option<&Manifest>) -> Result<Audit, CanonicalError> {
    let hosts = reports.len();
    let mut expectations = Expectations {
        manifest,
        by_roles: match manifest {
            Some(_) => BTreeMap::new(),
            None => majorities(&reports),
        },
    };
    let mut differing = Vec::new();
    for received in reports {
        let differences = match &received.report {
            Err(reason) => vec![HostDifference::Unusable {
                reason: reason.clone(),
            }],
            Ok(report) => of_report(report, &mut expectations)?,
        };
        if !differences.is_empty() {
            differing.push(differing_host(received, differences));
        }
    }
    differing.sort();
    Ok(Audit {
        reference: manifest.map_or(Reference::Majority, |manifest| Reference::Manifest {
            digest: manifest.digest,
        }),
        hosts,
        matching: hosts - differing.len(),
        common: common(&differing),
        differing,
    })
}

fn common(differing: &[DifferingHost]) -> Vec<Common> {
    let mut counted: BTreeMap<&HostDifference, usize> = BTreeMap::new();
    for difference in differing.iter().flat_map(|host| &host.differences) {
        *counted.entry(difference).or_default() += 1;
    }
    let shared = counted.into_iter().filter(|(_, hosts)| *hosts > 1);
    let mut common: Vec<_> = shared
        .map(|(difference, hosts)| Common {
            hosts,
            difference: difference.clone(),
        })
        .collect();
    common.sort_by_key(|common| std::cmp::Reverse(common.hosts));
    common
}

fn differing_host(received: Received, differences: Vec<HostDifference>) -> DifferingHost {
    let report = received.report.ok();
    let active = report.as_ref().and_then(|report| report.active.as_ref());
    DifferingHost {
        host: report
            .as_ref()
            .map_or_else(|| received.origin.clone(), |report| report.host.clone()),
        roles: active.map(|active| active.roles.clone()).unwrap_or_default(),
        root_digest: active.map(|active| active.root_digest),
        origin: received.origin,
        differences,
    }
}

/// What hosts of each set of roles should have, worked out once for each.
struct Expectations<'a> {
    manifest: Option<&'a Manifest>,
    by_roles: BTreeMap<Vec<RoleName>, (Digest, Generation)>,
}

impl Expectations<'_> {
    fn of(&mut self, active: &ActiveStatus) -> Result<Option<&(Digest, Generation)>, CanonicalError> {
        if let Some(manifest) = self.manifest
            && !self.by_roles.contains_key(&active.roles)
        {
            let roles: BTreeSet<RoleName> = active.roles.iter().cloned().collect();
            let expected = Generation::expected(&manifest.document, manifest.digest, &roles);
            let entry = (expected.root_digest()?, expected);
            self.by_roles.insert(active.roles.clone(), entry);
        }
        Ok(self.by_roles.get(&active.roles))
    }
}

/// The root digest that most hosts of the same roles have; of equally many, the smallest.
fn majorities(reports: &[Received]) -> BTreeMap<Vec<RoleName>, (Digest, Generation)> {
    let mut counted: BTreeMap<&[RoleName], BTreeMap<Digest, (usize, &ActiveStatus)>> = BTreeMap::new();
    for received in reports {
        if let Ok(StatusReport {
            active: Some(active), ..
        }) = &received.report
        {
            let of_roles = counted.entry(&active.roles).or_default();
            of_roles.entry(active.root_digest).or_insert((0, active)).0 += 1;
        }
    }
    let most = counted.into_iter().filter_map(|(roles, digests)| {
        let digests = digests.into_iter().rev();
        let (digest, (_, active)) = digests.max_by_key(|(_, (count, _))| *count)?;
        Some((roles.to_vec(), (digest, active.document())))
    });
    most.collect()
}

fn of_report(
    report: &StatusReport,
    expectations: &mut Expectations<'_>,
) -> Result<Vec<HostDifference>, CanonicalError> {
    let problems = report.problems.iter().cloned();
    let mut differences: Vec<_> = problems.map(|what| HostDifference::Problem { what }).collect();
    differences.extend(
        report
            .pending
            .map(|pending| HostDifference::Pending { to: pending.to }),
    );
    let Some(active) = &report.active else {
        differences.push(HostDifference::Inactive);
        return Ok(differences);
    };
    differences.extend(active.overrides.iter().map(|local| HostDifference::Override {
        id: local.id.clone(),
        of: local.of.clone(),
        changed: local.changed.clone(),
    }));
    match expectations.of(active)? {
        Some((digest, expected)) if *digest != active.root_digest => {
            differences.extend(between(expected, active));
        }
        _ => {}
    }
    Ok(differences)
}

fn between(expected: &Generation, found: &ActiveStatus) -> Vec<HostDifference> {
    let fields = [
        (DistributionField::Name, &expected.name, &found.name),
        (DistributionField::Version, &expected.version, &found.version),
        (DistributionField::Prefix, &expected.prefix, &found.prefix),
        (DistributionField::Platform, &expected.platform, &found.platform),
    ];
    let other = fields
        .into_iter()
        .filter(|(_, expected, found)| expected != found);
    let mut differences: Vec<_> = other
        .map(|(what, expected, found)| HostDifference::Distribution {
            what,
            expected: expected.clone(),
            found: found.clone(),
        })
        .collect();
    if expected.manifest != found.manifest {
        differences.push(HostDifference::Manifest {
            expected: expected.manifest,
            found: found.manifest,
        });
    }
    if expected.configuration != found.configuration {
        differences.push(HostDifference::Configuration {
            expected: expected.configuration,
            found: found.configuration,
        });
    }
    differences.extend(packages(expected, found));
    differences
}

/// Packages by name. Local changes are told of as such, and count here as what they were copied from.
fn packages(expected: &Generation, found: &ActiveStatus) -> Vec<HostDifference> {
    let original = |id: &PackageId| {
        let local = found.overrides.iter().find(|local| local.id == *id);
        local.map_or_else(|| id.clone(), |local| local.of.clone())
    };
    let named = |id: PackageId, tree: Digest| (id.name().clone(), (id, tree));
    let wanted = expected
        .packages
        .iter()
        .map(|package| named(package.id.clone(), package.tree));
    let wanted: BTreeMap<_, _> = wanted.collect();
    let there = found
        .packages
        .iter()
        .map(|package| named(original(&package.id), package.tree));
    let there: BTreeMap<_, _> = there.collect();
    let names: BTreeSet<&PackageName> = wanted.keys().chain(there.keys()).collect();
    let of_name = |name: &PackageName| match (wanted.get(name), there.get(name)) {
        (Some((id, _)), None) => Some(HostDifference::PackageMissing { id: id.clone() }),
        (None, Some((id, _))) => Some(HostDifference::PackageExtra { id: id.clone() }),
        (Some((expected, _)), Some((found, _))) if expected != found => Some(HostDifference::PackageOther {
            name: name.clone(),
            expected: expected.clone(),
            found: found.clone(),
        }),
        (Some((id, expected)), Some((_, found))) if expected != found => Some(HostDifference::Tree {
            id: id.clone(),
            expected: *expected,
            found: *found,
        }),
        _ => None,
    };
    let again = found.packages.iter().map(|package| original(&package.id));
    // Of a name that is there more than once, all but one would go unseen.
    let again = again.filter(|id| there.get(id.name()).is_some_and(|(kept, _)| kept != id));
    let again = again.map(|id| HostDifference::PackageExtra { id });
    names.into_iter().filter_map(of_name).chain(again).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::status::PackageStatus;

    /// A report of a host on which packages of these names and contents are active.
    fn report(packages: &[(&str, &str)]) -> StatusReport {
        let package = |(name, content): &(&str, &str)| PackageStatus {
            name: name.parse().unwrap(),
            id: PackageId::new(name.parse().unwrap(), Digest::of(content.as_bytes())),
            tree: Digest::of(b"tree"),
        };
        let mut active = ActiveStatus {
            generation: GenerationNumber::FIRST,
            root_digest: Digest::of(b""),
            name: "demo".to_owned(),
            version: "1".to_owned(),
            prefix: "/opt/store".to_owned(),
            platform: "x86_64-linux".to_owned(),
            manifest: Digest::of(b"manifest"),
            roles: Vec::new(),
            configuration: None,
            packages: packages.iter().map(package).collect(),
            overrides: Vec::new(),
        };
        active.packages.sort_by(|a, b| a.id.cmp(&b.id));
        active.root_digest = active.document().root_digest().unwrap();
        let report = StatusReport {
            format: 1,
            host: "host".to_owned(),
            root: "/opt/store".to_owned(),
            active: Some(active),
            pending: None,
            problems: Vec::new(),
        };
        let bytes = serde_json::to_vec(&report).unwrap();
        StatusReport::parse(&bytes).unwrap()
    }

    #[test]
    fn a_package_beside_another_of_its_name_is_told_of() {
        let sound = report(&[("curl", "a"), ("zlib", "b")]);
        for more in ["c", "d", "e", "f"] {
            let odd = report(&[("curl", "a"), ("curl", more), ("zlib", "b")]);
            let reports = [sound.clone(), sound.clone(), odd].map(|report| Received {
                origin: String::new(),
                report: Ok(report),
            });
            let audit = audit(reports.into(), None).unwrap();
            assert_eq!((audit.matching, audit.differing.len()), (2, 1), "{more}");
        }
    }
}
