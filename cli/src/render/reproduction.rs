//! Owns how it is told that a package came out different: where, what it looks like, and what brings it out.

use builder::diffoscope::Page;
use builder::explain::{Excerpt, Explained, Part, Place};
use builder::reproduce::{Culprit, NotReproduced};

/// How many paths of a culprit, or without one, are named.
const NAMED: usize = 8;

/// The lines that follow the sentence.
pub fn lines(found: &NotReproduced) -> String {
    let files = found.explained.iter().map(file);
    let culprits = found.culprits.iter().flatten().map(culprit);
    let others = not_brought_out(found);
    let page = found.page.iter().map(|page| match page {
        Page::Made(path) => format!("\n  more of it: {}", path.display()),
        Page::Failed(why) => format!("\n  diffoscope made no page of it: {why}"),
    });
    files.chain(culprits).chain(others).chain(page).collect()
}

fn file(file: &Explained) -> String {
    let place = file
        .place
        .as_ref()
        .map(|place| format!(", in {}", self::place(place)));
    let mut out = format!(
        "\n  `{}` from byte {} on{}",
        file.path,
        file.offset,
        place.unwrap_or_default()
    );
    for (whose, excerpt) in [("stored", &file.stored), ("built ", &file.built)] {
        out.push_str(&format!("\n    {whose} {}", self::excerpt(excerpt)));
    }
    out.push_str(&format!("\n    usually {}", file.cause.usual()));
    out
}

fn excerpt(excerpt: &Excerpt) -> String {
    let Excerpt {
        size,
        start,
        hex,
        text,
    } = excerpt;
    let spaces = " ".repeat(11);
    let rows = (0..)
        .step_by(16)
        .take_while(|row| *row < text.chars().count().max(1));
    let rows = rows.map(|row| {
        let hex: String = hex.chars().skip(3 * row).take(3 * 16).collect();
        let text: String = text.chars().skip(row).take(16).collect();
        format!("{:08x}  {hex:<48} |{text}|", start + row as u64)
    });
    let rows: Vec<String> = rows.collect();
    format!("{} (of {size} bytes)", rows.join(&format!("\n{spaces}")))
}

fn place(place: &Place) -> String {
    match place {
        Place::Section { name, offset } => format!("section {name} at {offset}"),
        Place::Member {
            name,
            part: Part::Header,
            ..
        } => format!("what the archive says of `{name}`"),
        Place::Member {
            name, offset, inside, ..
        } => {
            let inside = inside
                .as_deref()
                .map(|inside| format!(", {}", self::place(inside)));
            format!("member `{name}` at {offset}{}", inside.unwrap_or_default())
        }
        Place::GzipTime => "the time in the header of gzip".to_owned(),
        Place::Compressed { offset, inside } => {
            let offset = offset.map(|offset| format!(" at {offset} of what is in it"));
            let inside = inside
                .as_deref()
                .map(|inside| format!(", {}", self::place(inside)));
            let [offset, inside] = [offset, inside].map(Option::unwrap_or_default);
            format!("compressed content{offset}{inside}")
        }
    }
}

fn culprit(culprit: &Culprit) -> String {
    let mut what = named(&culprit.paths);
    if let Some(why) = &culprit.failure {
        what.push(format!("the build fails: {why}"));
    }
    let axes = match culprit.axes.is_empty() {
        true => "by itself, with nothing varied".to_owned(),
        false => format!("by {}", culprit.axes),
    };
    format!("\n  brought out {axes}: {}", what.join(", "))
}

/// What was looked for in vain.
fn not_brought_out(found: &NotReproduced) -> Option<String> {
    let others = found.not_brought_out();
    let what = match found.culprits.as_deref()? {
        [] => "it".to_owned(),
        _ if others.is_empty() => return None,
        _ => named(&others).join(", "),
    };
    Some(format!(
        "\n  no axis brings {what} out again: chance, or what the store holds was built otherwise"
    ))
}

/// The first of `paths`, and how many more there are.
fn named(paths: &[impl AsRef<str>]) -> Vec<String> {
    let first = paths.iter().take(NAMED);
    let mut named: Vec<String> = first.map(|path| format!("`{}`", path.as_ref())).collect();
    if paths.len() > NAMED {
        named.push(format!("{} more", paths.len() - NAMED));
    }
    named
}
