//! What the clients of registries print and machines say of archives: the input is a package's name, a line feed, its
//! version, a line feed, a file's name, a line feed, and the text.
#![no_main]

use builder::fetch::registry::debian_sources::{Packages, candidates, one_line, paragraphs, revisions};
use builder::fetch::registry::pypi::{address_of, platform_of};
use libfuzzer_sys::fuzz_target;
use schema::source::SourceDigest;

fuzz_target!(|input: &str| {
    let mut parts = input.splitn(4, '\n');
    let [name, version, file, text] = [(); 4].map(|()| parts.next().unwrap_or_default());
    // One more of these is taken for the end of a line each time.
    let text = &text.replace('\r', "");
    for packages in [Packages::Binary, Packages::Source] {
        let list = one_line(text, packages);
        assert_eq!(one_line(&list, packages), list);
        assert!(list.lines().all(|line| line.starts_with("deb")));
        let list = paragraphs(text, packages);
        assert_eq!(paragraphs(&list, packages), list);
    }
    let revisions = revisions(text, name);
    for expected in [SourceDigest::Sha256([0x11; 32]), SourceDigest::Sha256([0; 32])] {
        for revision in candidates(&revisions, version, file, &expected) {
            assert!(
                revision
                    .sha256_of(file)
                    .is_some_and(|digest| text.contains(digest))
            );
            assert!(revision.version.contains(version));
        }
    }
    if let Some(address) = address_of(text, file) {
        assert!(text.contains(&address) && address.ends_with(file));
    }
    assert!(platform_of(file).len() % 2 == 0, "options with one value each");
});
