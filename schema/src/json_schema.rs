//! Owns the JSON Schemas: one for every document, under the name people ask for it by.

mod recipe;
mod source;
mod treeinfo;

use schemars::{Schema, SchemaGenerator};
use serde_json::Value;

use crate::attestation::Attestations;
use crate::cache::CacheEntry;
use crate::channel::Release;
use crate::delivery::DeliveryIndex;
use crate::finding::Finding;
use crate::generation::Generation;
use crate::listing::Listing;
use crate::manifest::ActiveManifest;
use crate::policy::Policy;
use crate::resolved::ResolvedRecipe;
use crate::status::StatusReport;

/// A document and how its schema is made.
struct Document {
    name: &'static str,
    /// What its files are called; asked for by this name, its schema is found too.
    file: &'static str,
    make: fn() -> Schema,
}

const DOCUMENTS: [Document; 13] = [
    Document {
        name: "recipe",
        file: "buildinfo.json",
        make: of::<recipe::RecipeDocument>,
    },
    Document {
        name: "treeinfo",
        file: "treeinfo.json",
        make: of::<treeinfo::TreeInfoDocument>,
    },
    Document {
        name: "resolved-recipe",
        file: "buildinfo.full.json",
        make: of::<ResolvedRecipe>,
    },
    Document {
        name: "listing",
        file: "listing.json",
        make: of::<Listing>,
    },
    Document {
        name: "manifest",
        file: "manifest.json",
        make: of::<ActiveManifest>,
    },
    Document {
        name: "generation",
        file: "generation.json",
        make: of::<Generation>,
    },
    Document {
        name: "status",
        file: "status.json",
        make: of::<StatusReport>,
    },
    Document {
        name: "delivery",
        file: "index.json",
        make: of::<DeliveryIndex>,
    },
    Document {
        name: "release",
        file: "targets.json",
        make: of::<Release>,
    },
    Document {
        name: "finding",
        file: "finding.json",
        make: of::<Finding>,
    },
    Document {
        name: "cache-entry",
        file: "cache-entry.json",
        make: of::<CacheEntry>,
    },
    Document {
        name: "attestations",
        file: "attestations.json",
        make: of::<Attestations>,
    },
    Document {
        name: "policy",
        file: "policy.json",
        make: of::<Policy>,
    },
];

fn of<T: schemars::JsonSchema>() -> Schema {
    SchemaGenerator::default().into_root_schema_for::<T>()
}

/// The names of all documents.
pub fn names() -> Vec<&'static str> {
    DOCUMENTS.iter().map(|document| document.name).collect()
}

/// The JSON Schema (draft 2020-12) of a document, by its own name or that of its file.
pub fn schema(name: &str) -> Option<Value> {
    let is_meant = |document: &&Document| {
        document.name == name || document.file == name || document.file.strip_suffix(".json") == Some(name)
    };
    DOCUMENTS
        .iter()
        .find(is_meant)
        .map(|document| (document.make)().to_value())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe_fields;
    use crate::source::SourceKind;
    use crate::treeinfo_parse;
    use std::collections::BTreeSet;

    fn properties(schema: &Value) -> BTreeSet<&str> {
        let properties = schema["properties"].as_object();
        properties
            .into_iter()
            .flatten()
            .map(|(name, _)| name.as_str())
            .collect()
    }

    #[test]
    fn schemas_know_the_fields_that_parsers_know() {
        let recipe = schema("recipe").unwrap();
        assert_eq!(properties(&recipe), BTreeSet::from(recipe_fields::FIELDS));
        let treeinfo = schema("treeinfo.json").unwrap();
        assert_eq!(properties(&treeinfo), treeinfo_parse::fields().collect());
        let sources = recipe["$defs"]["SourceDocument"]["oneOf"].as_array().unwrap();
        assert_eq!(sources.len(), SourceKind::ALL.len());
        for (source, kind) in sources.iter().zip(SourceKind::ALL) {
            assert_eq!(source["properties"]["kind"]["const"], kind.as_str());
            let mut fields: BTreeSet<_> = kind.fields().iter().copied().collect();
            fields.extend(["kind", "blake3"]);
            if !matches!(kind, SourceKind::Git | SourceKind::GitLocal | SourceKind::Local) {
                fields.insert("sha256");
            }
            assert_eq!(properties(source), fields);
        }
    }

    #[test]
    fn every_document_has_a_closed_schema_that_says_what_it_is() {
        for name in names() {
            let schema = schema(name).unwrap();
            assert!(schema["description"].is_string(), "{name}");
            assert_eq!(
                schema["$schema"], "https://json-schema.org/draft/2020-12/schema",
                "{name}"
            );
            assert_eq!(schema["additionalProperties"], Value::Bool(false), "{name}");
        }
        assert_eq!(schema("nothing"), None);
    }
}
