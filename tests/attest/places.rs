//! The promise that no place hides from a challenge what others disagree about.

use std::fs;

use super::farm::{BUILDERS, Farm};
use super::{challenge, names};
use crate::support::damage::pipe;
use crate::support::text;
use crate::support::web::{Fault, Web};
use serde_json::json;

#[test]
fn no_place_hides_what_others_dispute() {
    let farm = Farm::new("head -c 8 /dev/urandom > $PKG_PATH/out");
    for builder in BUILDERS {
        farm.attest(builder, "all");
    }
    let stores = BUILDERS.map(|name| farm.store(name));
    let [ada, bob] = [text(&stores[0]), text(&stores[1])];
    let keys = ["--key", &farm.keys[0], "--key", &farm.keys[1]];
    // Object stores refuse what they lack, and a proxy that wants a login answers everything.
    let (refusing, strange) = (Web::new(&stores[1]), Web::new(&stores[1]));
    refusing.errs(|asked| match asked.path.starts_with("trees/") {
        true => Fault::Status(403),
        false => Fault::None,
    });
    strange.errs(|_| Fault::Page);
    let (refusing, strange) = (refusing.url(""), strange.url(""));
    let odd = stores[0].join(format!("attestations/{}.json", farm.tree.id("lib")));
    fs::remove_file(&odd).unwrap();
    for is_pipe in [false, true] {
        if is_pipe {
            fs::remove_dir(&odd).unwrap();
            pipe(&odd);
        } else {
            fs::create_dir(&odd).unwrap();
        }
        let (code, said) = challenge(&farm, &[&strange, &refusing, ada, bob], &keys);
        assert_eq!(
            (code, names(&said, "disputed")),
            (Some(3), vec!["top".to_owned()])
        );
        assert_eq!(said["disputed"][0]["paths"], json!(["out"]));
        let malformed = said["malformed"].as_array().unwrap().iter();
        let malformed: Vec<&str> = malformed.map(|it| it["place"].as_str().unwrap()).collect();
        assert_eq!(malformed, [text(&odd), &strange]);
        let about = [&keys[..], &["--package", "lib"]].concat();
        assert_eq!(challenge(&farm, &[ada, &refusing, bob], &about).0, Some(1));
    }
}
