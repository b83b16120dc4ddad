//! Owns what the active packages say of themselves: their resolved recipes, read and held against each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use schema::generation::Generation;
use schema::id::PackageId;
use schema::name::PackageName;
use schema::recipe;
use schema::resolved::ResolvedRecipe;

use super::finding::FactKind;
use super::layout::Owner;
use super::{Finding, Host};
use crate::facts::{self, FactsError};

/// One active package that is there.
pub(super) struct Member {
    pub(super) id: PackageId,
    pub(super) folder: PathBuf,
    pub(super) recipe: ResolvedRecipe,
}

/// What all of them together ask of a host.
#[derive(Default)]
pub(super) struct Wishes {
    pub(super) environment: BTreeMap<String, String>,
    pub(super) sysctl: BTreeMap<String, String>,
    pub(super) users: BTreeMap<String, Option<String>>,
    pub(super) groups: BTreeSet<String>,
    pub(super) state: BTreeMap<PackageName, Owner>,
}

/// Reads the packages that `generation` makes active, as far as they are there.
pub(super) fn read(host: &Host, generation: &Generation) -> (Vec<Member>, Vec<Finding>) {
    let mut members = Vec::new();
    let mut findings = Vec::new();
    for package in &generation.packages {
        match member(host, &package.id) {
            Ok(member) => {
                check(&member, generation, &mut findings);
                members.push(member);
            }
            Err(finding) => findings.push(*finding),
        }
    }
    (members, findings)
}

fn member(host: &Host, id: &PackageId) -> Result<Member, Box<Finding>> {
    let folder = host.package(id);
    let package = id.clone();
    if !fs::symlink_metadata(&folder).is_ok_and(|found| found.is_dir()) {
        let path = folder;
        return Err(Box::new(Finding::PackageAbsent { package, path }));
    }
    match facts::read(&folder, id) {
        Ok(recipe) => Ok(Member {
            id: package,
            folder,
            recipe,
        }),
        Err(error) => Err(Box::new(unusable(package, &error))),
    }
}

fn unusable(package: PackageId, error: &FactsError) -> Finding {
    Finding::PackageUnusable {
        package,
        reason: error.to_string(),
    }
}

fn check(member: &Member, generation: &Generation, findings: &mut Vec<Finding>) {
    let package = || member.id.clone();
    let replaced = |id: &PackageId| generation.overrides.iter().any(|local| local.of == *id);
    for dependency in &member.recipe.requires {
        if generation.package(dependency).is_none() && !replaced(dependency) {
            findings.push(Finding::RequiredAbsent {
                package: package(),
                dependency: dependency.clone(),
            });
        }
    }
    let recipe = &member.recipe;
    if recipe.platform.as_str() != generation.platform {
        findings.push(Finding::OtherPlatform {
            package: package(),
            expected: generation.platform.clone(),
            found: recipe.platform.to_string(),
        });
    }
    if recipe.prefix.as_str() != generation.prefix {
        findings.push(Finding::OtherPrefix {
            package: package(),
            expected: generation.prefix.clone(),
            found: recipe.prefix.to_string(),
        });
    }
}

/// Puts together what `members` ask for. What is malformed, reserved or contradicts is left out, and found.
pub(super) fn wishes(members: &[Member]) -> (Wishes, Vec<Finding>) {
    let mut gathering = Gathering::default();
    for member in members {
        gathering.environment(member);
        gathering.sysctl(member);
        gathering.account(member);
    }
    let environment = gathering.environment.into_iter();
    let sysctl = gathering.sysctl.into_iter();
    let users = gathering.users.into_iter();
    let wishes = Wishes {
        environment: environment.map(|(name, (value, _))| (name, value)).collect(),
        sysctl: sysctl.map(|(key, (value, _))| (key, value)).collect(),
        users: users.map(|(user, (group, _))| (user, group)).collect(),
        groups: gathering.groups,
        state: gathering.state,
    };
    (wishes, gathering.findings)
}

/// Each thing with the package that asked for it first.
#[derive(Default)]
struct Gathering<'a> {
    environment: BTreeMap<String, (String, &'a PackageId)>,
    sysctl: BTreeMap<String, (String, &'a PackageId)>,
    users: BTreeMap<String, (Option<String>, &'a PackageId)>,
    groups: BTreeSet<String>,
    state: BTreeMap<PackageName, Owner>,
    findings: Vec<Finding>,
}

impl<'a> Gathering<'a> {
    fn environment(&mut self, member: &'a Member) {
        for (variable, value) in &member.recipe.environment {
            if let Some(reason) = recipe::wrong_variable(variable, value) {
                self.findings.push(Finding::Variable {
                    package: member.id.clone(),
                    variable: variable.clone(),
                    reason,
                });
            } else if let Some((_, first)) = self.environment.get(variable) {
                self.findings.push(Finding::VariableTwice {
                    variable: variable.clone(),
                    first: (*first).clone(),
                    second: member.id.clone(),
                });
            } else {
                let entry = (value.clone(), &member.id);
                self.environment.insert(variable.clone(), entry);
            }
        }
    }

    fn sysctl(&mut self, member: &'a Member) {
        for (key, value) in member.recipe.sysctl.values().flatten() {
            if let Some(reason) = recipe::wrong_setting(key, value) {
                self.fact(member, FactKind::KernelSetting, key, reason);
                continue;
            }
            let kept = self.sysctl.entry(key.clone());
            let (one, first) = kept.or_insert_with(|| (value.clone(), &member.id));
            if one != value {
                self.findings.push(Finding::Disagreement {
                    what: FactKind::KernelSetting,
                    text: key.clone(),
                    first: (*first).clone(),
                    one: one.clone(),
                    second: member.id.clone(),
                    other: value.clone(),
                });
            }
        }
    }

    fn account(&mut self, member: &'a Member) {
        let asked = &member.recipe;
        let sound = |text: &&String| recipe::is_account(text);
        for (what, text) in [(FactKind::User, &asked.username), (FactKind::Group, &asked.group)] {
            if let Some(text) = text.as_ref().filter(|text| !sound(text)) {
                self.fact(
                    member,
                    what,
                    text,
                    "it cannot be the name of an account".to_owned(),
                );
            }
        }
        let group = asked.group.as_ref().filter(sound);
        self.groups.extend(group.cloned());
        if let Some(user) = asked.username.as_ref().filter(sound) {
            let kept = self.users.entry(user.clone());
            let (one, first) = kept.or_insert_with(|| (group.cloned(), &member.id));
            let named = |group: Option<&String>| group.unwrap_or(user).clone();
            if named(one.as_ref()) != named(group) {
                self.findings.push(Finding::Disagreement {
                    what: FactKind::User,
                    text: user.clone(),
                    first: (*first).clone(),
                    one: named(one.as_ref()),
                    second: member.id.clone(),
                    other: named(group),
                });
            }
        }
        if asked.state_directory {
            let owner = Owner {
                user: asked.username.clone(),
                group: asked.group.clone(),
            };
            self.state.insert(asked.name.clone(), owner);
        }
    }

    fn fact(&mut self, member: &Member, what: FactKind, text: &str, reason: String) {
        self.findings.push(Finding::Fact {
            package: member.id.clone(),
            what,
            text: text.to_owned(),
            reason,
        });
    }
}
