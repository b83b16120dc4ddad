//! Inputs of a configuration as anybody may write them: the input is a schema, a NUL, and the YAML or JSON it describes.
#![no_main]

use builder::configure;
use libfuzzer_sys::fuzz_target;
use schema::platform::Prefix;
use schema::tree_of_recipes::DocumentText;

fuzz_target!(|input: &str| {
    let (schema, inputs) = input.split_once('\0').unwrap_or(("{}", input));
    let document = |file: &str, text: &str| DocumentText {
        file: file.to_owned(),
        text: text.to_owned(),
    };
    let prefix: Prefix = "/opt/store".parse().expect("a prefix");
    let inputs = document("config.yaml", inputs);
    let checked = configure::check_inputs(document(configure::SCHEMA, schema), inputs, &prefix);
    if let Err(mistakes) = checked {
        assert!(!mistakes.findings.is_empty(), "refused without a reason");
    }
});
