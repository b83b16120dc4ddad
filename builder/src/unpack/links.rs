//! Owns whether the symbolic links of an archive stay inside it, with every link on the way followed as the kernel would.

use std::collections::BTreeMap;

use super::sink::Made;

/// As many links as the kernel follows before it gives up (`ELOOP`).
const MOST_LINKS: u32 = 40;
/// As many steps as one link may take; far more than any source needs, and a bound for those made to take for ever.
const MOST_STEPS: u32 = 20_000;

/// Whether the link at `path`, relative to the root of `made`, leads to a place at or below that root.
/// What is not there may be named, and a link may lead back to itself.
pub(super) fn stays_inside(made: &BTreeMap<String, Made>, path: &str, target: &str) -> bool {
    let mut here: Vec<&str> = path.split('/').collect();
    here.pop();
    let mut ahead: Vec<&str> = Vec::new();
    if !turn(&mut ahead, target) {
        return false;
    }
    let mut links = 1;
    for _ in 0..MOST_STEPS {
        let Some(part) = ahead.pop() else { return true };
        match part {
            "" | "." => continue,
            ".." => {
                if here.pop().is_none() {
                    return false;
                }
                continue;
            }
            name => here.push(name),
        }
        if let Some(Made::Link { target }) = made.get(here.join("/").as_str()) {
            links += 1;
            if links > MOST_LINKS {
                return true;
            }
            here.pop();
            if !turn(&mut ahead, target) {
                return false;
            }
        }
    }
    false
}

/// Puts a link's target before what is still ahead; says whether it stays relative.
fn turn<'a>(ahead: &mut Vec<&'a str>, target: &'a str) -> bool {
    ahead.extend(target.split('/').rev());
    !target.starts_with('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(links: &[(&str, &str)]) -> BTreeMap<String, Made> {
        let link = |(path, target): &(&str, &str)| {
            let target = (*target).to_owned();
            ((*path).to_owned(), Made::Link { target })
        };
        links.iter().map(link).collect()
    }

    fn stays(links: &[(&str, &str)]) -> bool {
        let made = made(links);
        links
            .iter()
            .all(|(path, target)| stays_inside(&made, path, target))
    }

    #[test]
    fn links_are_followed_as_the_kernel_does() {
        assert!(stays(&[("a/b/link", "../../c")]));
        assert!(stays(&[("link", "not/there/..")]));
        assert!(stays(&[("a/link", ".."), ("b", "a/link/x")]));
        assert!(!stays(&[("link", "..")]));
        assert!(!stays(&[("a/link", "../../etc")]));
        assert!(!stays(&[("link", "/etc/passwd")]));
        // By its text alone the second link stays inside.
        assert!(!stays(&[("a/up", ".."), ("link", "a/up/../x")]));
    }

    #[test]
    fn endless_links_end() {
        assert!(stays(&[("a", "b"), ("b", "a")]));
        let long = "x/../".repeat(800);
        let rounds: Vec<_> = (0..39)
            .map(|i| (format!("l{i}"), format!("{long}l{}", i + 1)))
            .collect();
        let links: Vec<_> = rounds.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert!(!stays(&links));
    }
}
