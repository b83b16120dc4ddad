//! Owns how a dependency graph is drawn: as Graphviz text, as an SVG picture, as a page that holds the picture.

use std::fmt::Write;

/// What is drawn.
#[derive(Debug, Default)]
pub struct Drawing {
    /// The packages' names, each after what it depends on.
    pub nodes: Vec<String>,
    /// Pairs of positions in `nodes`.
    pub edges: Vec<Edge>,
}

/// One dependency.
#[derive(Debug, Clone, Copy)]
pub struct Edge {
    /// Who depends.
    pub from: usize,
    /// On what.
    pub to: usize,
    /// When.
    pub kind: EdgeKind,
}

/// When a dependency is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EdgeKind {
    /// At build and at run time.
    Requires,
    /// At build only.
    BuildRequires,
}

const BOX: (usize, usize) = (132, 26);
const GAP: (usize, usize) = (90, 14);
const MARGIN: usize = 20;

impl Drawing {
    /// The graph in the language of Graphviz; what is needed only to build is dashed.
    pub fn dot(&self) -> String {
        let mut out =
            String::from("digraph packages {\n  rankdir=RL;\n  node [shape=box, fontname=\"sans-serif\"];\n");
        for name in &self.nodes {
            let _ = writeln!(out, "  \"{name}\";");
        }
        for edge in &self.edges {
            let style = match edge.kind {
                EdgeKind::Requires => "",
                EdgeKind::BuildRequires => " [style=dashed]",
            };
            let _ = writeln!(
                out,
                "  \"{}\" -> \"{}\"{style};",
                self.nodes[edge.from], self.nodes[edge.to]
            );
        }
        out.push_str("}\n");
        out
    }

    /// The graph as a picture: what depends on nothing stands left, each other package right of all it needs.
    pub fn svg(&self) -> String {
        let places = self.places();
        let extent = |of: fn(&(usize, usize)) -> usize| places.iter().map(of).max().unwrap_or(0);
        let width = extent(|p| p.0) + BOX.0 + MARGIN;
        let height = extent(|p| p.1) + BOX.1 + MARGIN;
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n"
        );
        for edge in &self.edges {
            draw_edge(&mut out, places[edge.from], places[edge.to], edge.kind);
        }
        for (name, (x, y)) in self.nodes.iter().zip(&places) {
            let (middle_x, middle_y) = (x + BOX.0 / 2, y + BOX.1 / 2 + 4);
            let _ = writeln!(
                out,
                "<rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" rx=\"4\" fill=\"#eef3f8\" stroke=\"#456\"/>\
                 <text x=\"{middle_x}\" y=\"{middle_y}\" text-anchor=\"middle\">{}</text>",
                BOX.0,
                BOX.1,
                escape(name)
            );
        }
        out.push_str("</svg>\n");
        out
    }

    /// A page that holds the picture.
    pub fn html(&self, title: &str) -> String {
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\n\
             <body><h1>{title}</h1>\n<p>Solid: needed at run time. Dashed: needed only to build.</p>\n{}</body></html>\n",
            self.svg(),
            title = escape(title)
        )
    }

    /// The upper left corner of each box.
    fn places(&self) -> Vec<(usize, usize)> {
        let mut depth = vec![0usize; self.nodes.len()];
        for at in 0..self.nodes.len() {
            let below = self
                .edges
                .iter()
                .filter(|edge| edge.from == at)
                .map(|edge| depth[edge.to] + 1);
            depth[at] = below.max().unwrap_or(0);
        }
        let mut filled = vec![0usize; self.nodes.len() + 1];
        let place = |&column: &usize| {
            let row = filled[column];
            filled[column] += 1;
            (MARGIN + column * (BOX.0 + GAP.0), MARGIN + row * (BOX.1 + GAP.1))
        };
        depth.iter().map(place).collect()
    }
}

fn draw_edge(out: &mut String, from: (usize, usize), to: (usize, usize), kind: EdgeKind) {
    let (x1, y1) = (from.0, from.1 + BOX.1 / 2);
    let (x2, y2) = (to.0 + BOX.0, to.1 + BOX.1 / 2);
    let bend = GAP.0 / 2;
    let dash = match kind {
        EdgeKind::Requires => "",
        EdgeKind::BuildRequires => " stroke-dasharray=\"4 3\"",
    };
    let _ = writeln!(
        out,
        "<path d=\"M{x1} {y1} C{} {y1} {} {y2} {x2} {y2}\" fill=\"none\" stroke=\"#89a\"{dash}/>",
        x1.saturating_sub(bend),
        x2 + bend
    );
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_depends_stands_right_of_what_it_needs() {
        let edge = |from, to| Edge {
            from,
            to,
            kind: EdgeKind::Requires,
        };
        let drawing = Drawing {
            nodes: ["a", "b", "c"].map(String::from).to_vec(),
            edges: vec![edge(1, 0), edge(2, 1), edge(2, 0)],
        };
        let x: Vec<_> = drawing.places().iter().map(|place| place.0).collect();
        assert!(x[0] < x[1] && x[1] < x[2], "{x:?}");
        assert!(drawing.dot().contains("\"c\" -> \"b\";"));
        assert_eq!(drawing.svg().matches("<rect").count(), 3);
    }
}
