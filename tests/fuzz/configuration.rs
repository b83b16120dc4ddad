//! Inputs of a configuration as anybody may write them: the input is a schema, a NUL, and the YAML or JSON it describes.
//! What follows another NUL is taken for what templates gave: the variables, and when a host is healthy.
#![no_main]

use builder::configure;
use libfuzzer_sys::fuzz_target;
use schema::platform::Prefix;
use schema::tree_of_recipes::DocumentText;

fuzz_target!(|input: &str| {
    let mut parts = input.splitn(3, '\0');
    let [schema, inputs] = [(); 2].map(|()| parts.next().unwrap_or("{}"));
    if let Some(rendered) = parts.next() {
        given(rendered);
    }
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

fn given(text: &str) {
    let rendered = DocumentText {
        file: "rendered".to_owned(),
        text: text.to_owned(),
    };
    let findings = [
        configure::environment(&rendered).err(),
        configure::health(&rendered).err(),
    ];
    for finding in findings.into_iter().flatten().flatten() {
        let (start, end) = finding.span;
        assert!(text.get(start..end).is_some(), "{finding:?} is not in the text");
    }
}
