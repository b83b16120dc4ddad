//! Owns the bill of materials as CycloneDX 1.6 in JSON.

use serde_json::{Value, json};

use super::{Inventory, Item};
use crate::digest::Digest;
use crate::license::License;
use crate::source::SourceDigest;

const DISTRIBUTION: &str = "distribution";

/// The document.
pub fn document(inventory: &Inventory) -> Vec<u8> {
    let all = inventory.items.iter().map(|item| item.id.to_string());
    let whole = json!({ "ref": DISTRIBUTION, "dependsOn": all.collect::<Vec<_>>() });
    let each = inventory
        .items
        .iter()
        .map(|item| json!({ "ref": item.id, "dependsOn": item.requires }));
    let dependencies: Vec<Value> = std::iter::once(whole).chain(each).collect();
    let mut document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": inventory.created,
            "tools": { "components": [
                { "type": "application", "name": "store", "version": env!("CARGO_PKG_VERSION") },
            ] },
            "component": {
                "type": "platform",
                "bom-ref": DISTRIBUTION,
                "name": inventory.name,
                "version": inventory.version,
            },
        },
        "components": inventory.items.iter().map(component).collect::<Vec<_>>(),
        "dependencies": dependencies,
    });
    document["serialNumber"] = json!(format!("urn:uuid:{}", uuid(&super::digest(&document))));
    super::bytes(&document)
}

fn component(item: &Item) -> Value {
    let sources = item.digests().map(|(name, digest)| {
        let algorithm = match digest {
            SourceDigest::Sha256(_) => "SHA-256",
            SourceDigest::Blake3(_) => "BLAKE3",
        };
        json!({
            "type": "file",
            "bom-ref": format!("{} source {name}", item.id),
            "name": format!("source {name}"),
            "hashes": [{ "alg": algorithm, "content": digest.to_hex() }],
        })
    });
    let mut component = json!({
        "type": "application",
        "bom-ref": item.id,
        "name": item.id.name(),
        "version": item.version,
        "properties": properties(item),
        "components": sources.collect::<Vec<_>>(),
    });
    match License::of(&item.about) {
        License::Unstated => {}
        License::Expression { text, .. } => component["licenses"] = json!([{ "expression": text }]),
        License::Other(text) => component["licenses"] = json!([{ "license": { "name": text } }]),
    }
    if !item.about.description.is_empty() {
        component["description"] = json!(item.about.description);
    }
    if let Some(url) = item.about.web_page() {
        component["externalReferences"] = json!([{ "type": "website", "url": url }]);
    }
    component
}

fn properties(item: &Item) -> Vec<Value> {
    let mut properties = vec![
        json!({ "name": "store:id", "value": item.id }),
        json!({ "name": "store:tree", "value": item.tree }),
    ];
    let local = item.local_of.iter();
    properties.extend(local.map(|of| json!({ "name": "store:local-of", "value": of })));
    properties
}

/// A UUID of version 8, which RFC 9562 leaves to whoever makes it: the first bits of the digest.
fn uuid(digest: &Digest) -> String {
    let hex = digest.to_hex();
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default().to_owned();
    format!(
        "{}-{}-8{}-8{}-{}",
        part(0..8),
        part(8..12),
        part(13..16),
        part(17..20),
        part(20..32)
    )
}
