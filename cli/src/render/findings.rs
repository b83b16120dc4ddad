//! Owns how mistakes in documents are shown: the sentence, the place in the text, and what to do.

use std::collections::BTreeMap;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource, Severity};
use schema::finding::{self, Finding};

/// Shows `findings`, each with its line of the file where `texts` has that file.
pub fn show(findings: &[Finding], texts: &BTreeMap<String, String>, colour: bool) -> String {
    let theme = if colour {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_width(100)
        .with_links(false);
    let mut out = String::new();
    for finding in findings {
        let report = report(finding, texts);
        // Writing to a String does not fail.
        let _ = handler.render_report(&mut out, report.as_ref());
    }
    out
}

fn report(finding: &Finding, texts: &BTreeMap<String, String>) -> miette::Report {
    let place = format!("{}:{}:{}", finding.file, finding.line, finding.column);
    let severity = match finding.severity {
        finding::Severity::Error => Severity::Error,
        finding::Severity::Warning => Severity::Warning,
    };
    let diagnostic = MietteDiagnostic::new(&finding.message)
        .with_code(place)
        .with_severity(severity);
    let diagnostic = if finding.help.is_empty() {
        diagnostic
    } else {
        diagnostic.with_help(&finding.help)
    };
    match texts.get(&finding.file) {
        Some(text) if !finding.hides_text => {
            let (start, end) = finding.span;
            let label = LabeledSpan::new(None, start, end.saturating_sub(start).max(1));
            miette::Report::new(diagnostic.with_label(label))
                .with_source_code(NamedSource::new(&finding.file, text.clone()).with_language("json"))
        }
        _ => miette::Report::new(diagnostic),
    }
}
