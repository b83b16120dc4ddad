//! Owns reading YAML 1.2 with the places of its values, and refusing what people and programs read differently.

use std::ops::Range;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};
use schema::finding::Finding;
use schema::tree_of_recipes::DocumentText;
use serde_json::Number;

use super::document::{DEEPEST, Kind, Member, Node, finding};

/// What the document says, unless that cannot be told, and what is wrong with it: the first thing that is no YAML, or
/// everything that is ambiguous. What is ambiguous counts as nothing.
pub(super) fn read(text: &DocumentText) -> (Option<Node>, Vec<Finding>) {
    let mut reader = Reader {
        text,
        starts: text.text.char_indices().map(|(at, _)| at).collect(),
        open: Vec::new(),
        root: None,
        is_unclear: false,
        findings: Vec::new(),
    };
    for event in Parser::new_from_str(&text.text) {
        match event {
            Ok((event, span)) => reader.event(event, span),
            Err(error) => {
                let at = reader.byte(error.marker().index());
                let message = format!("this is not YAML: {}.", error.info().trim_end_matches('.'));
                let help = "write `name: value` lines, indented with blanks alike where they belong together";
                reader.refuse(at..at, &message, help);
                break;
            }
        }
        if reader.open.len() > DEEPEST {
            reader.refuse(0..0, "this is nested too deeply.", "write it otherwise");
            break;
        }
    }
    let nothing = Node {
        span: 0..0,
        kind: Kind::Null,
    };
    let root = reader.root.unwrap_or(nothing);
    ((!reader.is_unclear).then_some(root), reader.findings)
}

/// A list or mapping whose end was not met yet.
enum Open {
    List(Range<usize>, Vec<Node>),
    Map(Range<usize>, Vec<Member>, Option<(String, Range<usize>)>),
}

struct Reader<'a> {
    text: &'a DocumentText,
    /// Where each character begins, as the parser counts characters.
    starts: Vec<usize>,
    open: Vec<Open>,
    root: Option<Node>,
    /// Whether anything is written that could mean values elsewhere, or no values at all.
    is_unclear: bool,
    findings: Vec<Finding>,
}

impl Reader<'_> {
    fn byte(&self, character: usize) -> usize {
        self.starts
            .get(character)
            .copied()
            .unwrap_or(self.text.text.len())
    }

    fn span(&self, span: Span) -> Range<usize> {
        let (start, end) = (self.byte(span.start.index()), self.byte(span.end.index()));
        start..end.max(start)
    }

    fn refuse(&mut self, span: Range<usize>, message: &str, help: &str) {
        self.is_unclear = true;
        self.findings.push(finding(self.text, span, message, help));
    }

    fn event(&mut self, event: Event<'_>, span: Span) {
        let span = self.span(span);
        match event {
            Event::Scalar(value, style, anchor, tag) => {
                self.refuse_extras(anchor, tag.as_deref(), &span);
                self.scalar(&value, style, span);
            }
            Event::SequenceStart(anchor, tag) => {
                self.refuse_extras(anchor, tag.as_deref(), &span);
                self.open.push(Open::List(span, Vec::new()));
            }
            Event::MappingStart(anchor, tag) => {
                self.refuse_extras(anchor, tag.as_deref(), &span);
                self.open.push(Open::Map(span, Vec::new(), None));
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span.end),
            Event::Alias(_) => {
                self.refuse(
                    span.clone(),
                    "this repeats a value by its anchor.",
                    "write the value out",
                );
                self.value(Node {
                    span,
                    kind: Kind::Null,
                });
            }
            Event::DocumentStart(_) if self.root.is_some() => {
                self.refuse(
                    span,
                    "a second document begins here.",
                    "keep one document in a file",
                );
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {}
        }
    }

    /// Anchors and tags: what programs disagree about, and no configuration needs.
    fn refuse_extras(&mut self, anchor: usize, tag: Option<&Tag>, span: &Range<usize>) {
        if anchor != 0 {
            self.refuse(
                span.clone(),
                "this value has an anchor.",
                "write the value out where it is needed",
            );
        }
        // It is not repeated: a secret may begin with `!`.
        if tag.is_some() {
            self.refuse(
                span.clone(),
                "this value has a tag.",
                "remove it; quotes make a text of anything",
            );
        }
    }

    fn scalar(&mut self, value: &str, style: ScalarStyle, span: Range<usize>) {
        if let Some(Open::Map(_, _, key @ None)) = self.open.last_mut() {
            *key = Some((value.to_owned(), span));
            return;
        }
        let kind = match style {
            ScalarStyle::Plain => plain(value),
            _ => Ok(Kind::Text(value.to_owned())),
        };
        let kind = kind.unwrap_or_else(|help| {
            // It is not repeated: it may be a secret.
            let message = "this can be read as more than one thing.";
            self.findings
                .push(finding(self.text, span.clone(), message, help));
            Kind::Null
        });
        self.value(Node { span, kind });
    }

    /// Ends the innermost list or mapping, and with it what its span covers.
    fn close(&mut self, end: usize) {
        let whole = |span: Range<usize>| span.start..end.max(span.end);
        let node = match self.open.pop() {
            Some(Open::List(span, items)) => Node {
                span: whole(span),
                kind: Kind::List(items),
            },
            Some(Open::Map(span, members, _)) => Node {
                span: whole(span),
                kind: Kind::Map(members),
            },
            None => return,
        };
        self.value(node);
    }

    fn value(&mut self, node: Node) {
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::List(_, items)) => items.push(node),
            Some(Open::Map(_, members, key)) => match key.take() {
                Some((key, key_span)) => members.push(Member {
                    key,
                    key_span,
                    value: node,
                }),
                None => {
                    // A list or mapping in the place of a name.
                    *key = Some((String::new(), node.span.clone()));
                    self.refuse(node.span, "a name is expected here.", "write `name: value`");
                }
            },
        }
    }
}

/// What a word without quotes means by YAML's core schema.
fn plain(value: &str) -> Result<Kind, &'static str> {
    let digits = value.strip_prefix(['-', '+']).unwrap_or(value);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match value {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Kind::Null),
        "true" | "True" | "TRUE" => return Ok(Kind::Flag(true)),
        "false" | "False" | "FALSE" => return Ok(Kind::Flag(false)),
        // Texts by YAML 1.2, and true or false by 1.1, which many programs still read.
        "yes" | "Yes" | "YES" | "no" | "No" | "NO" | "on" | "On" | "ON" | "off" | "Off" | "OFF" => {
            return Err("write `true` or `false`, or put quotes around the text");
        }
        ".inf" | ".Inf" | ".INF" | "+.inf" | "-.inf" | ".nan" | ".NaN" | ".NAN" => {
            return Err("put quotes around the text, or write a finite number");
        }
        _ => {}
    }
    if is_number && digits.len() > 1 && digits.starts_with('0') {
        return Err("put quotes around the text, or write the number without zeros before it");
    }
    let based = |prefix, base| {
        let rest = value.strip_prefix(prefix)?;
        i64::from_str_radix(rest, base)
            .ok()
            .filter(|_| !rest.starts_with(['-', '+']))
    };
    if let Some(number) = based("0x", 16).or_else(|| based("0o", 8)) {
        return Ok(Kind::Number(number.into()));
    }
    let unsigned = value.strip_prefix('+').unwrap_or(value);
    if is_number {
        let whole = unsigned.parse::<i64>().map(Number::from);
        let whole = whole.or_else(|_| unsigned.parse::<u64>().map(Number::from));
        let wide = "no program can hold this number; put quotes around the text";
        return whole.map(Kind::Number).map_err(|_| wide);
    }
    let begins = digits.trim_start_matches('.').bytes().next();
    let is_float = begins.is_some_and(|byte| byte.is_ascii_digit())
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    let float = is_float.then(|| unsigned.parse::<f64>().ok().and_then(Number::from_f64));
    Ok(float
        .flatten()
        .map_or_else(|| Kind::Text(value.to_owned()), Kind::Number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Node, Vec<Finding>> {
        let read = read(&DocumentText {
            file: "c.yaml".to_owned(),
            text: text.to_owned(),
        });
        match read {
            (Some(node), findings) if findings.is_empty() => Ok(node),
            (_, findings) => Err(findings),
        }
    }

    #[test]
    fn values_have_the_types_of_the_core_schema_and_remember_their_places() {
        let text = "# ä comment\nname: wörld\nports: [80, 0x1F, -3]\nratio: 1.5\nversion: '1.10'\non_it: {a: true, b: ~}\nip: 10.0.0.1\n";
        let node = parse(text).unwrap();
        let expected = serde_json::json!({"name": "wörld", "ports": [80, 31, -3], "ratio": 1.5, "version": "1.10",
            "on_it": {"a": true, "b": null}, "ip": "10.0.0.1"});
        assert_eq!(node.value(), expected);
        let Kind::Map(members) = &node.kind else {
            panic!("{node:?}")
        };
        for member in members {
            assert_eq!(&text[member.key_span.clone()], member.key);
        }
        assert_eq!(&text[members[0].value.span.clone()], "wörld");
        assert_eq!(&text[members[4 - 1].value.span.clone()], "'1.10'");
    }

    #[test]
    fn what_readers_disagree_about_is_refused_all_at_once() {
        let text = "a: yes\nb: 0640\nc: &x 1\nd: *x\ne: !!str 1\nf: .nan\n? [1]\n: 2\n";
        let lines: Vec<u32> = parse(text)
            .unwrap_err()
            .iter()
            .map(|finding| finding.line)
            .collect();
        assert_eq!(lines, [1, 2, 3, 4, 5, 6, 7]);
        for (text, line) in [("a: 1\n---\nb: 2\n", 2), ("a: [1\n", 2), ("a: '1\n", 1)] {
            assert_eq!(parse(text).unwrap_err()[0].line, line, "{text:?}");
        }
        assert!(parse(&"[".repeat(100_000)).is_err());
        assert!(parse(&"a: ".repeat(1_000)).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-c0-9:\\- \n\t'\"\\[\\]{}&*!|>?#%@`,ä\r]{0,60}") {
            if let Err(findings) = parse(&text) {
                prop_assert!(!findings.is_empty());
            }
        }
    }
}
