//! Trees of recipes as anybody may write them: the input is `treeinfo.json`, a NUL, a `buildinfo.json`, a NUL, another.
#![no_main]

use libfuzzer_sys::fuzz_target;
use schema::graph::Graph;
use schema::recipe_parse::RecipeText;
use schema::resolved;
use schema::tree_of_recipes::{DocumentText, TreeText, validate};

fuzz_target!(|input: &str| {
    let mut texts = input.splitn(3, '\0');
    let mut document = |file: &str| DocumentText {
        file: file.to_owned(),
        text: texts.next().unwrap_or("{}").to_owned(),
    };
    let text = TreeText {
        treeinfos: vec![document("treeinfo.json")],
        recipes: ["one", "two"]
            .map(|folder| RecipeText {
                folder: folder.to_owned(),
                documents: vec![document(&format!("{folder}/buildinfo.json"))],
                ..RecipeText::default()
            })
            .into(),
        ..TreeText::default()
    };
    if let Ok(tree) = validate(&text) {
        for variant in tree.infos.keys() {
            if let Ok(graph) = Graph::resolve(&tree, variant.as_ref()) {
                resolved::resolve_all(&graph, 1).expect("a recipe that was parsed has an ID");
            }
        }
    }
});
