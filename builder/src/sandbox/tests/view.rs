//! Owns the tests of what a build sees.

use super::fixture::Case;

#[test]
fn a_build_has_the_same_name_kernel_and_processors_everywhere() {
    let said = Case::new()
        .says("id -u; id -g; hostname; uname -srm; nproc; grep -c processor /proc/cpuinfo; pwd; umask");
    assert_eq!(
        said,
        "1000\n1000\nstore\nLinux 6.6.0 x86_64\n3\n3\n/pkg/src\n0022\n"
    );
}
