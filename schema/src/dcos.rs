//! Owns the dialect of DC/OS's package folders: how one is told from ours, and what keeps each from being hermetic.

use crate::draft::Place;
use crate::fields::{Fields, Report};
use crate::platform::Prefix;
use crate::recipe::Recipe;
use crate::tree_of_recipes::TreeInfo;

/// Fields that only recipes of this dialect have.
pub(crate) const RECIPE_FIELDS: [&str; 3] = ["docker", "build_script", "version_extra"];

/// Fields that only `treeinfo.json` of this dialect has.
pub(crate) const TREE_FIELDS: [&str; 2] = ["core_package_list", "bootstrap_package_list"];

/// Reads the fields that only this dialect has, and finds what keeps `recipe` from being built hermetically.
pub(crate) fn read_own_fields(fields: &Fields<'_>, recipe: &Recipe, report: &mut Report) {
    fields.text("version_extra", report);
    image(fields, recipe, report);
    let script = fields.text("build_script", report).unwrap_or("build");
    if script != "build"
        && let Some(node) = fields.get("build_script")
    {
        let message = format!("its build script is called `{script}`.");
        report.not_hermetic(
            &node.place(),
            message,
            "rename the file to `build` and remove `build_script`",
        );
    }
    let place = &recipe.place;
    powershell(recipe, report);
    if !recipe.has_file(script) {
        let message = format!(
            "there is no `{}/{script}`, so nothing builds it here.",
            recipe.name
        );
        report.not_hermetic(
            place,
            message,
            "write a shell script `build`, or exclude the package",
        );
    }
}

/// Variants for Windows bring a script of their own, `<variant>.build.ps1`.
fn powershell(recipe: &Recipe, report: &mut Report) {
    let Some(variant) = &recipe.variant else {
        return;
    };
    let script = format!("{variant}.build.ps1");
    if recipe.has_file(&script) {
        let message = format!("its variant `{variant}` is built by `{script}`, which is not a shell script.");
        report.not_hermetic(
            &recipe.place,
            message,
            "leave the variant out of trees that are built here",
        );
    }
}

/// Every recipe of DC/OS is built inside an image, named or not.
fn image(fields: &Fields<'_>, recipe: &Recipe, report: &mut Report) {
    let remedy =
        "remove `docker`; name the tools it brought in `build_requires`, or in the tree's `toolchain`";
    if let Some(node) = fields.get("docker") {
        if let Some(image) = fields.text("docker", report) {
            let message =
                format!("it is built inside the docker image `{image}`, whose content is not pinned.");
            report.not_hermetic(&node.place(), message, remedy);
        }
    } else if recipe.toolchain.is_none() && recipe.build_requires.is_empty() {
        let message =
            "it is built inside DC/OS's own docker image, since neither it nor the tree names a toolchain.";
        report.not_hermetic(
            &recipe.place,
            message,
            "name the tools it needs in `build_requires`, or in the tree's `toolchain`",
        );
    }
}

/// What a `treeinfo.json` of this dialect does not say about the distribution.
pub(crate) fn report_missing_distribution(place: &Place, report: &mut Report) {
    report.not_hermetic(
        place,
        "the tree says neither what it is called nor which tools build it.",
        "add `name`, `version`, `prefix`, `platform` and `toolchain`; then findings like this one are errors",
    );
}

/// What DC/OS itself is called and where it stands, which its trees do not say.
pub(crate) fn name_distribution(info: TreeInfo) -> TreeInfo {
    TreeInfo {
        name: "dcos".to_owned(),
        version: "0".to_owned(),
        prefix: Prefix::of_dcos(),
        ..info
    }
}
