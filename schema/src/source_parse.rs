//! Owns reading the sources of a recipe: which fields each kind has, and what a digest, an address or a folder may be.

use std::collections::BTreeMap;

use crate::draft::{Node, Place};
use crate::fields::{Fields, Report, list, text};
use crate::name::SourceName;
use crate::nearest::{did_you_mean, listed};
use crate::path::{PathEscapes, below_root};
use crate::source::{Origin, RegistryFile, Source, SourceDigest, SourceForm, SourceKind};
use crate::source_digest::{
    DIGESTS, Digested, is_weak, read_digest, refuse_sha256, refuse_weak, strong_digest,
};
use crate::tree_of_recipes::Dialect;
use crate::url::{UrlError, check_git_url, check_url, file_name_of};

/// A source whose digest is that of a folder of the tree, which is compared once that folder is known.
pub(crate) struct FolderSource {
    pub(crate) name: SourceName,
    /// Relative to the tree's root.
    pub(crate) path: String,
    /// Where the path is stated.
    pub(crate) place: Place,
    /// The digest the recipe states and where.
    pub(crate) stated: Option<(SourceDigest, Place)>,
    /// Whether `.git` is no part of it.
    pub(crate) without_git: bool,
}

/// What the `sources` of one recipe are.
#[derive(Default)]
pub(crate) struct Sources {
    pub(crate) map: BTreeMap<SourceName, Source>,
    pub(crate) folders: Vec<FolderSource>,
}

/// Reads `single_source` or `sources` of the recipe in `folder`, whose package is called `package`.
pub(crate) fn read_sources(recipe: &Fields<'_>, folder: &str, report: &mut Report) -> Sources {
    recipe.exclusive(
        "single_source",
        "sources",
        "keep `sources` and move the single one into it, under a name",
        report,
    );
    let mut sources = Sources::default();
    if let Some(node) = recipe.get("single_source") {
        match folder.parse() {
            Ok(name) => read_source(name, node, folder, &mut sources, report),
            // The folder's name is a finding of its own.
            Err(_) => return sources,
        }
    }
    let Some(node) = recipe.get("sources") else {
        return sources;
    };
    let Some(members) = Fields::of_node(node, "sources", "`sources`", report) else {
        return sources;
    };
    for (key, node) in members.entries() {
        match key.text.parse() {
            Ok(name) => read_source(name, node, folder, &mut sources, report),
            Err(why) => report.error(
                &key.place(),
                format!("{why}."),
                "name it with letters, digits and `_ @ . + -`; it is a folder below `/pkg/src`",
            ),
        }
    }
    sources
}

fn read_source(name: SourceName, node: Node<'_>, folder: &str, sources: &mut Sources, report: &mut Report) {
    let Some(fields) = Fields::of_node(node, name.as_str(), "a source", report) else {
        return;
    };
    let Some(kind_node) = fields.required("kind", "write `\"kind\": \"url_extract\"`, say", report) else {
        return;
    };
    let Some(kind) = text(kind_node, "kind", report) else {
        return;
    };
    let Some(kind) = SourceKind::ALL.into_iter().find(|known| known.as_str() == kind) else {
        let names = || SourceKind::ALL.map(SourceKind::as_str);
        let help = did_you_mean(kind, names(), || format!("write one of {}", listed(names())));
        report.error(
            &kind_node.place(),
            format!("`{kind}` is not a kind of source."),
            help,
        );
        return;
    };
    let reader = SourceReader { name, fields, folder };
    reader.refuse_unknown(kind, report);
    let source = match kind {
        SourceKind::Url => reader.url(report),
        SourceKind::UrlExtract => reader.url_extract(report),
        SourceKind::Git => reader.git(report),
        SourceKind::GitLocal => reader.folder_source("rel_path", "path", true, sources, report),
        SourceKind::Local => reader.folder_source("path", "rel_path", false, sources, report),
        SourceKind::Crate => reader.registry(Origin::Crate, report),
        SourceKind::Pypi => reader.registry(Origin::Pypi, report),
        SourceKind::Npm => reader.registry(Origin::Npm, report),
        SourceKind::Debian => reader.registry(Origin::Debian, report),
    };
    if let Some(source) = source {
        sources.map.insert(reader.name, source);
    }
}

struct SourceReader<'a> {
    name: SourceName,
    fields: Fields<'a>,
    folder: &'a str,
}

impl SourceReader<'_> {
    fn refuse_unknown(&self, kind: SourceKind, report: &mut Report) {
        let mut known = vec!["kind"];
        known.extend_from_slice(kind.fields());
        known.extend_from_slice(&DIGESTS);
        let digests = self
            .fields
            .entries()
            .filter(|(key, _)| is_weak(key.text))
            .map(|(key, _)| key.text);
        known.extend(digests);
        self.fields.refuse_unknown(&known, report, |field| match field {
            "extract" => {
                Some("write `\"kind\": \"url_extract\"` for an archive, `\"kind\": \"url\"` for a file")
            }
            "branch" | "tag" => Some("a name can move: write the `commit` it stands for"),
            "sha512" | "sha384" => Some("write `sha256` or `blake3`"),
            _ => None,
        });
    }

    fn url(&self, report: &mut Report) -> Option<Source> {
        let digest = read_digest(&self.name, &self.fields, Digested::File, report);
        let (urls, place) = self.urls(report)?;
        let file = match self.fields.get("file") {
            Some(node) => self.file_name(node, report)?,
            None => match file_name_of(urls.first()?) {
                Some(file) => file.to_owned(),
                None => {
                    let message = "this address does not end in the name of a file.";
                    report.error(
                        &place,
                        message,
                        "add `\"file\"`: the name the build finds it under",
                    );
                    return None;
                }
            },
        };
        Some(Source {
            origin: Origin::Url { urls },
            digest,
            form: SourceForm::File { file },
        })
    }

    fn url_extract(&self, report: &mut Report) -> Option<Source> {
        let digest = read_digest(&self.name, &self.fields, Digested::File, report);
        let (urls, _) = self.urls(report)?;
        Some(Source {
            origin: Origin::UrlExtract { urls },
            digest,
            form: SourceForm::Archive,
        })
    }

    /// `url` first, then `urls`, and where the first of them stands.
    fn urls(&self, report: &mut Report) -> Option<(Vec<String>, Place)> {
        let mut nodes: Vec<(&str, Node<'_>)> = Vec::new();
        nodes.extend(self.fields.get("url").map(|node| ("url", node)));
        if let Some(node) = self.fields.get("urls") {
            nodes.extend(list(node, "urls", report).into_iter().map(|node| ("urls", node)));
        }
        let Some((_, first)) = nodes.first() else {
            if self.fields.get("urls").is_none() {
                self.fields
                    .required("url", "say where it is fetched from", report);
            }
            return None;
        };
        let place = first.place();
        let mut urls = Vec::new();
        for (field, node) in nodes {
            let Some(url) = text(node, field, report) else {
                continue;
            };
            match check_url(url) {
                Ok(()) => urls.push(url.to_owned()),
                Err(UrlError::RelativeFile) => {
                    report.not_hermetic(
                        &node.place(),
                        format!("`{url}` names a file relative to the recipe."),
                        "put the file into `extra/`, or make the source `local`",
                    );
                    urls.push(url.to_owned());
                }
                Err(why) => {
                    let message = format!("`{url}` cannot be fetched: {why}.");
                    report.error(
                        &node.place(),
                        message,
                        "write an `https://`, `http://` or `file:///` address",
                    );
                }
            }
        }
        (!urls.is_empty()).then_some((urls, place))
    }

    fn git(&self, report: &mut Report) -> Option<Source> {
        self.fields.exclusive("git", "url", "keep one of the two", report);
        self.fields.exclusive("commit", "ref", "keep `commit`", report);
        let digest = read_digest(&self.name, &self.fields, Digested::Folder, report);
        let url_field = if self.fields.get("git").is_some() {
            "git"
        } else {
            "url"
        };
        let url_node = self
            .fields
            .required(url_field, "say which repository it is", report);
        let commit_field = if self.fields.get("ref").is_some() {
            "ref"
        } else {
            "commit"
        };
        let commit_node = self.fields.required(
            commit_field,
            "write the full commit, as `git rev-parse HEAD` prints it",
            report,
        );
        let url = url_node.and_then(|node| self.git_url(node, url_field, report));
        let commit = commit_node.and_then(|node| self.commit(node, commit_field, report));
        Some(Source {
            origin: Origin::Git {
                url: url?,
                commit: commit?,
            },
            digest,
            form: SourceForm::Folder,
        })
    }

    fn git_url(&self, node: Node<'_>, field: &str, report: &mut Report) -> Option<String> {
        let url = text(node, field, report)?;
        if let Err(why) = check_git_url(url) {
            let message = format!("`{url}` is not the address of a git repository: {why}.");
            report.error(
                &node.place(),
                message,
                "write an `https://`, `ssh://` or `file:///` address",
            );
            return None;
        }
        if report.dialect == Dialect::Dcos && !url.starts_with("https://") {
            let message = format!("`{url}` can be fetched only with somebody's key.");
            report.not_hermetic(
                &node.place(),
                message,
                "write the repository's `https://` address",
            );
        }
        Some(url.to_owned())
    }

    fn commit(&self, node: Node<'_>, field: &str, report: &mut Report) -> Option<String> {
        let commit = text(node, field, report)?;
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if !(matches!(commit.len(), 40 | 64) && commit.bytes().all(digit)) {
            report.not_hermetic(
                &node.place(),
                format!("`{commit}` is not a full commit, so what it stands for can change."),
                "write all 40 (or 64) lowercase hexadecimal digits of the commit",
            );
        }
        Some(commit.to_owned())
    }

    fn folder_source(
        &self,
        field: &'static str,
        synonym: &'static str,
        without_git: bool,
        sources: &mut Sources,
        report: &mut Report,
    ) -> Option<Source> {
        self.fields
            .exclusive(field, synonym, "keep one of the two", report);
        let field = if self.fields.get(synonym).is_some() {
            synonym
        } else {
            field
        };
        let node = self
            .fields
            .required(field, "name a folder below the recipe's", report)?;
        let stated = self.folder_digest(report);
        let path = self.folder_path(node, field, report)?;
        if let Some(path) = &path {
            sources.folders.push(FolderSource {
                name: self.name.clone(),
                path: path.clone(),
                place: node.place(),
                stated,
                without_git,
            });
        }
        let path = path.unwrap_or_default();
        let origin = if without_git {
            Origin::GitLocal { path }
        } else {
            Origin::Local { path }
        };
        Some(Source {
            origin,
            digest: None,
            form: SourceForm::Folder,
        })
    }

    /// The folder's path below the tree's root; `Some(None)` for one outside, which DC/OS allows.
    fn folder_path(&self, node: Node<'_>, field: &str, report: &mut Report) -> Option<Option<String>> {
        let stated = text(node, field, report)?;
        let help = "name a folder below the recipe's, e.g. `\"src\"`, or one elsewhere in the tree";
        match below_root(self.folder, stated) {
            Ok(path) if path.is_empty() || path == self.folder => {
                let message = format!("`{stated}` would make the recipe its own source.");
                report.not_hermetic(&node.place(), message, help);
                Some(None)
            }
            Ok(path) => Some(Some(path)),
            Err(PathEscapes::Root) => {
                let message = format!("`{stated}` lies outside the tree of recipes.");
                report.not_hermetic(&node.place(), message, help);
                Some(None)
            }
            Err(why) => {
                report.error(
                    &node.place(),
                    format!("`{stated}` cannot be a source: {why}."),
                    help,
                );
                None
            }
        }
    }

    fn folder_digest(&self, report: &mut Report) -> Option<(SourceDigest, Place)> {
        if let Some(node) = self.fields.get("sha256") {
            refuse_sha256(node, report);
        }
        refuse_weak(&self.fields, report);
        let node = self.fields.get("blake3")?;
        Some((strong_digest(node, "blake3", report)?, node.place()))
    }

    fn registry(&self, origin: fn(RegistryFile) -> Origin, report: &mut Report) -> Option<Source> {
        let digest = read_digest(&self.name, &self.fields, Digested::File, report);
        let name = self.registry_word("name", "the name the registry knows it by", report);
        let version = self.registry_word("version", "one exact version, no range", report);
        let file = match self.fields.get("file") {
            Some(node) => Some(self.file_name(node, report)?),
            None => None,
        };
        let extract = self.fields.flag("extract", report).unwrap_or(true);
        let (name, version) = (name?, version?);
        let form = if extract {
            SourceForm::Archive
        } else {
            let file = file
                .clone()
                .unwrap_or_else(|| format!("{}-{version}", name.replace('/', "-")));
            SourceForm::File { file }
        };
        Some(Source {
            origin: origin(RegistryFile { name, version, file }),
            digest,
            form,
        })
    }

    /// A name or version: it becomes an argument of the registry's client, so it must be nothing else.
    fn registry_word(&self, field: &'static str, expected: &str, report: &mut Report) -> Option<String> {
        let node = self.fields.required(field, expected, report)?;
        let word = text(node, field, report)?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._+~:@/-".contains(&byte);
        let starts = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'@' | b'_');
        let sound = word.len() <= 200
            && word.bytes().next().as_ref().is_some_and(starts)
            && word.bytes().all(allowed)
            && !word.split('/').any(|part| matches!(part, "" | "." | ".."));
        if sound && (field == "name" || !word.contains(['/', '@'])) {
            return Some(word.to_owned());
        }
        report.error(
            &node.place(),
            format!("`{word}` cannot be a registry's {field}."),
            format!("write {expected}"),
        );
        None
    }

    fn file_name(&self, node: Node<'_>, report: &mut Report) -> Option<String> {
        let file = text(node, "file", report)?;
        let sound = !matches!(file, "" | "." | "..") && !file.contains(['/', '\0']) && file.len() <= 255;
        if !sound || file.starts_with('-') {
            report.error(
                &node.place(),
                format!("`{file}` cannot be the name of a file."),
                "write one path component, e.g. `\"zlib-1.3.tar.gz\"`",
            );
            return None;
        }
        Some(file.to_owned())
    }
}
