//! Owns the bill of materials as SPDX 2.3 in JSON.

use serde_json::{Map, Value, json};

use super::{Inventory, Item};
use crate::digest::Digest;
use crate::license::License;
use crate::source::SourceDigest;

const DOCUMENT: &str = "SPDXRef-DOCUMENT";
/// What SPDX calls a thing that nobody looked at.
const UNKNOWN: &str = "NOASSERTION";

/// The document.
pub fn document(inventory: &Inventory) -> Vec<u8> {
    let mut packages = Vec::new();
    let mut relationships = Vec::new();
    let mut extracted = Map::new();
    for item in &inventory.items {
        let own = reference(item.id.digest());
        packages.push(package(item, &own, &mut extracted));
        relationships.push(relationship(DOCUMENT, "DESCRIBES", &own));
        let required = item.requires.iter().map(|id| reference(id.digest()));
        relationships.extend(required.map(|required| relationship(&own, "DEPENDS_ON", &required)));
        for (number, source) in sources(item).enumerate() {
            let reference = format!("{own}-source-{number}");
            let mut source = source;
            source["SPDXID"] = json!(reference);
            packages.push(source);
            relationships.push(relationship(&own, "GENERATED_FROM", &reference));
        }
    }
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": format!("{}-{}", inventory.name, inventory.version),
        "creationInfo": {
            "created": inventory.created,
            "creators": [concat!("Tool: store-", env!("CARGO_PKG_VERSION"))],
        },
        "packages": packages,
        "relationships": relationships,
    });
    if !extracted.is_empty() {
        document["hasExtractedLicensingInfos"] = extracted.into_iter().map(|(_, info)| info).collect();
    }
    document["documentNamespace"] = json!(format!("urn:store:spdx:{}", super::digest(&document)));
    super::bytes(&document)
}

/// The digits of the digest in a store ID: names may hold what SPDX does not allow in references.
fn reference(digest: &Digest) -> String {
    format!("SPDXRef-{}", digest.to_base32())
}

fn relationship(from: &str, kind: &str, to: &str) -> Value {
    json!({ "spdxElementId": from, "relationshipType": kind, "relatedSpdxElement": to })
}

fn package(item: &Item, reference: &str, extracted: &mut Map<String, Value>) -> Value {
    let mut package = json!({
        "SPDXID": reference,
        "name": item.id.name(),
        "versionInfo": item.version,
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": false,
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": license(item, extracted),
        "copyrightText": UNKNOWN,
        "externalRefs": [
            identifier("store-id", item.id.to_string()),
            identifier("store-tree-blake3", item.tree.to_string()),
        ],
    });
    if let Some(of) = &item.local_of {
        package["comment"] = json!(format!("store:local-of {of}"));
    }
    if let Some(url) = item.about.web_page() {
        package["homepage"] = json!(url);
    }
    if !item.about.description.is_empty() {
        package["description"] = json!(item.about.description);
    }
    package
}

/// The licence of an item; what SPDX does not list is put among the `extracted`, as whatever is named must be.
fn license(item: &Item, extracted: &mut Map<String, Value>) -> String {
    match License::of(&item.about) {
        License::Unstated => UNKNOWN.to_owned(),
        License::Expression { text, own } => {
            for id in own {
                // What it says stands in the package at best; recipes do no more than name it.
                let info = json!({ "licenseId": id, "name": id, "extractedText": id });
                extracted.insert(id, info);
            }
            text.to_owned()
        }
        License::Other(text) => {
            let id = format!("LicenseRef-{}", Digest::of(text.as_bytes()).to_base32());
            let info = json!({ "licenseId": id, "name": text, "extractedText": text });
            extracted.insert(id.clone(), info);
            id
        }
    }
}

fn identifier(kind: &str, locator: String) -> Value {
    json!({ "referenceCategory": "OTHER", "referenceType": kind, "referenceLocator": locator })
}

fn sources(item: &Item) -> impl Iterator<Item = Value> {
    item.digests().map(|(name, digest)| {
        let mut source = json!({
            "name": format!("{} source {name}", item.id.name()),
            "downloadLocation": UNKNOWN,
            "filesAnalyzed": false,
            "licenseConcluded": UNKNOWN,
            "licenseDeclared": UNKNOWN,
            "copyrightText": UNKNOWN,
        });
        match digest {
            SourceDigest::Sha256(_) => {
                source["checksums"] = json!([{ "algorithm": "SHA256", "checksumValue": digest.to_hex() }]);
            }
            // SPDX's own tools take no BLAKE3 of 256 bits for a checksum, though the format lists it.
            SourceDigest::Blake3(_) => {
                source["externalRefs"] = json!([identifier("blake3", digest.to_hex())]);
            }
        }
        source
    })
}
