//! Owns the JSON Schemas of our own kinds of text: names, digests, IDs, prefixes, platforms.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::digest::Digest;
use crate::id::PackageId;
use crate::name::{PackageName, RoleName, SourceName, VariantName};
use crate::platform::{Platform, Prefix};

/// Texts that start with a letter, a digit, `_` or `@` and hold no `--`.
const LOWERCASE_NAME: &str = "^(?!.*--)(?!.*-$)[a-z0-9_@][a-z0-9_@.+-]{0,99}$";
const ANY_NAME: &str = "^(?!.*--)(?!.*-$)[A-Za-z0-9_@][A-Za-z0-9_@.+-]{0,99}$";

macro_rules! texts {
    ($($type:ty, $about:literal, $pattern:expr;)*) => {$(
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({"type": "string", "description": $about, "pattern": $pattern})
            }
        }
    )*};
}

texts! {
    PackageName, "The name of a package.", LOWERCASE_NAME;
    SourceName, "The name of a source.", ANY_NAME;
    VariantName, "The name of a variant.", LOWERCASE_NAME;
    RoleName, "A role of hosts.", LOWERCASE_NAME;
    Digest, "A digest of 256 bits.", "^[0-9a-f]{64}$";
    PackageId, "A store ID.", "^[a-z0-9_@][a-z0-9_@.+-]{0,99}--[a-z2-7]{52}$";
    Prefix, "An absolute path without `.` and `..`.", "^(?!.*/\\.{1,2}(/|$))(/[A-Za-z0-9._@+-]+)+$";
}

impl JsonSchema for Platform {
    fn schema_name() -> Cow<'static, str> {
        "Platform".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "enum": Self::ALL.map(Self::as_str)})
    }
}
