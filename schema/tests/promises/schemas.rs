//! Owns the promise that the JSON Schemas kept in `docs/schemas/` are those that `store schema` prints.

use std::fs;
use std::path::Path;

use schema::json_schema::{names, schema};

#[test]
fn the_schemas_in_the_docs_are_those_that_are_printed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schemas");
    let mut kept: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    kept.sort();
    let mut expected: Vec<std::ffi::OsString> =
        names().iter().map(|name| format!("{name}.json").into()).collect();
    expected.sort();
    assert_eq!(kept, expected);
    for name in names() {
        let printed = serde_json::to_string_pretty(&schema(name).unwrap()).unwrap();
        let kept = fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        assert_eq!(
            kept,
            format!("{printed}\n"),
            "run `store schema {name} > docs/schemas/{name}.json`"
        );
    }
}
