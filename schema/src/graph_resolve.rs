//! Owns resolving a tree into a graph: which variant of each package is meant, and every way in which that fails.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::draft::Place;
use crate::finding::{Finding, Severity};
use crate::graph::{Graph, Package, PackageIndex};
use crate::name::{PackageName, VariantName};
use crate::nearest::did_you_mean;
use crate::order::dependencies_first;
use crate::recipe::{Recipe, Requirement};
use crate::tree_assemble::{unknown_package_help, variants_help};
use crate::tree_of_recipes::{Dialect, Tree, TreeInfo};

/// A package's name and variant.
type Key<'a> = (&'a PackageName, Option<&'a VariantName>);

/// One dependency: on which node, stated where, and how.
struct Edge<'a> {
    to: usize,
    place: &'a Place,
    kind: EdgeKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum EdgeKind {
    Requires,
    BuildRequires,
    /// Build-only, and stated by `treeinfo.json` rather than by the recipe.
    Toolchain,
}

pub(crate) struct Resolver<'a> {
    tree: &'a Tree,
    variant: Option<&'a VariantName>,
    info: &'a TreeInfo,
    numbers: HashMap<Key<'a>, usize>,
    recipes: Vec<&'a Arc<Recipe>>,
    edges: Vec<Vec<Edge<'a>>>,
    findings: Vec<Finding>,
}

impl<'a> Resolver<'a> {
    pub(crate) fn new(tree: &'a Tree, variant: Option<&'a VariantName>) -> Result<Self, Vec<Finding>> {
        let Some(info) = tree.infos.get(&variant.cloned()) else {
            let wanted = variant.map_or("base", |variant| variant.as_str());
            let names = tree.infos.keys().flatten().map(|variant| variant.as_str());
            let help = did_you_mean(wanted, names, || variants_help(&tree.infos));
            let message = format!("this tree of recipes has no variant `{wanted}`.");
            return Err(vec![Finding::of_file("treeinfo.json", None, message, help)]);
        };
        Ok(Self {
            tree,
            variant,
            info,
            numbers: HashMap::new(),
            recipes: Vec::new(),
            edges: Vec::new(),
            findings: Vec::new(),
        })
    }

    pub(crate) fn resolve(mut self) -> Result<Graph, Vec<Finding>> {
        let roots = self.roots();
        for root in &roots {
            self.number(*root);
        }
        // Numbers are given out while this runs: every node that is met gets its edges in turn.
        let mut next = 0;
        while let Some(recipe) = self.recipes.get(next).copied() {
            let edges = self.edges_of(recipe);
            self.edges.push(edges);
            next += 1;
        }
        let targets: Vec<Vec<usize>> = self
            .edges
            .iter()
            .map(|edges| edges.iter().map(|edge| edge.to).collect())
            .collect();
        let order = match dependencies_first(&targets) {
            Ok(order) => order,
            Err(cycles) => {
                for cycle in cycles {
                    let finding = self.cycle(&cycle);
                    self.findings.push(finding);
                }
                return Err(self.findings);
            }
        };
        let graph = self.graph(&order, &roots);
        self.two_variants(&graph);
        if self.findings.is_empty() {
            Ok(graph)
        } else {
            Err(self.findings)
        }
    }

    /// Every package of the tree, or on DC/OS those it lists.
    fn roots(&self) -> Vec<Key<'a>> {
        let listed = match self.tree.dialect {
            Dialect::Native => None,
            Dialect::Dcos => self.info.default.as_ref(),
        };
        let names: Vec<&PackageName> = match listed {
            Some(names) => names.iter().collect(),
            None => self
                .tree
                .recipes
                .keys()
                .filter(|name| !self.info.exclude.contains(*name))
                .collect(),
        };
        let keys = names.into_iter().map(|name| (name, self.chosen(name)));
        keys.filter(|key| self.recipe(*key).is_some()).collect()
    }

    /// The variant of a package that the tree chooses.
    fn chosen(&self, name: &PackageName) -> Option<&'a VariantName> {
        if let Some(variant) = self.info.variants.get(name) {
            return variant.as_ref();
        }
        let like_the_tree = self.tree.dialect == Dialect::Native
            && self
                .tree
                .recipes
                .get(name)
                .is_some_and(|variants| variants.contains_key(&self.variant.cloned()));
        self.variant.filter(|_| like_the_tree)
    }

    fn recipe(&self, (name, variant): Key<'_>) -> Option<&'a Arc<Recipe>> {
        self.tree.recipes.get(name)?.get(&variant.cloned())
    }

    fn number(&mut self, key: Key<'a>) -> Option<usize> {
        if let Some(number) = self.numbers.get(&key) {
            return Some(*number);
        }
        let recipe = self.recipe(key)?;
        let number = self.recipes.len();
        self.recipes.push(recipe);
        self.numbers.insert(key, number);
        Some(number)
    }

    fn edges_of(&mut self, recipe: &'a Recipe) -> Vec<Edge<'a>> {
        let (toolchain, kind) = match &recipe.toolchain {
            Some(own) => (own, EdgeKind::BuildRequires),
            None => (&self.info.toolchain, EdgeKind::Toolchain),
        };
        let stated = recipe
            .requires
            .iter()
            .map(|requirement| (requirement, EdgeKind::Requires));
        let stated = stated
            .chain(
                recipe
                    .build_requires
                    .iter()
                    .map(|requirement| (requirement, EdgeKind::BuildRequires)),
            )
            .chain(toolchain.iter().map(|requirement| (requirement, kind)));
        let mut edges = Vec::new();
        for (requirement, kind) in stated {
            edges.extend(self.target(recipe, requirement, kind).map(|to| Edge {
                to,
                place: &requirement.place,
                kind,
            }));
        }
        edges
    }

    /// The node a dependency means, or a finding.
    fn target(&mut self, recipe: &Recipe, requirement: &'a Requirement, kind: EdgeKind) -> Option<usize> {
        let name = &requirement.name;
        let variant = match &requirement.variant {
            Some(variant) => Some(variant),
            None if self.tree.dialect == Dialect::Dcos => None,
            None => self.chosen(name),
        };
        let (what, package) = match kind {
            EdgeKind::Toolchain => ("the toolchain".to_owned(), None),
            _ => (format!("`{}`", recipe.name), Some(recipe.name.clone())),
        };
        let Some(variants) = self.tree.recipes.get(name) else {
            // A toolchain is checked once, not for each of its users.
            if kind != EdgeKind::Toolchain {
                let message = format!("{what} depends on `{name}`, which is not in this tree.");
                self.report(
                    &requirement.place,
                    package,
                    message,
                    unknown_package_help(name, self.tree),
                );
            }
            return None;
        };
        if self.info.exclude.contains(name) {
            let message = format!("{what} depends on `{name}`, which `treeinfo.json` excludes.");
            let help = format!("take it out of `exclude`, or exclude what needs `{name}` too");
            self.report(&requirement.place, package, message, help);
            return None;
        }
        // A recipe that could not be read has no variants, and findings of its own.
        if variants.is_empty() {
            return None;
        }
        let number = self.number((name, variant));
        if number.is_none() {
            let wanted = variant.map_or("base", |variant| variant.as_str());
            let message =
                format!("{what} depends on the variant `{wanted}` of `{name}`, which is not there.");
            self.report(&requirement.place, package, message, variants_help(variants));
        }
        number
    }

    fn report(&mut self, place: &Place, package: Option<PackageName>, message: String, help: String) {
        self.findings
            .push(place.finding(Severity::Error, package, message, help));
    }

    /// A cycle is told from the edge that leaves its first package.
    fn cycle(&self, cycle: &[usize]) -> Finding {
        let name = |node: usize| label(self.recipes[node]);
        let mut names: Vec<_> = cycle.iter().map(|node| name(*node)).collect();
        names.extend(cycle.first().map(|node| name(*node)));
        let steps = cycle.iter().zip(cycle.iter().cycle().skip(1));
        let edges: Vec<_> = steps
            .filter_map(|(from, to)| {
                let edge = self.edges[*from].iter().find(|edge| edge.to == *to)?;
                Some((*from, edge))
            })
            .collect();
        let toolchain = edges.iter().find(|(_, edge)| edge.kind == EdgeKind::Toolchain);
        let help = match toolchain {
            Some((from, _)) => format!(
                "`{0}` gets the tree's toolchain although the toolchain needs it: write `\"toolchain\": []` in \
                 `{0}/buildinfo.json` and name what it needs in `build_requires`",
                name(*from)
            ),
            None => "drop one of these dependencies, or split a package in two".to_owned(),
        };
        let first = cycle.first().map(|node| self.recipes[*node]);
        let place = match edges.iter().find(|(_, edge)| edge.kind != EdgeKind::Toolchain) {
            Some((_, edge)) if toolchain.is_none() => Some(edge.place),
            _ => toolchain.map(|(from, _)| &self.recipes[*from].place),
        };
        let place = place.unwrap_or(&self.info.place);
        let message = format!(
            "packages depend on each other in a circle: {}.",
            names.join(" -> ")
        );
        place.finding(
            Severity::Error,
            first.map(|recipe| recipe.name.clone()),
            message,
            help,
        )
    }

    fn graph(&self, order: &[usize], roots: &[Key<'a>]) -> Graph {
        let mut position = vec![0; order.len()];
        for (at, node) in order.iter().enumerate() {
            position[*node] = at;
        }
        let packages = order.iter().map(|node| {
            let edges = &self.edges[*node];
            let mut requires = targets(edges, &position, |kind| kind == EdgeKind::Requires);
            let mut build_requires = targets(edges, &position, |kind| kind != EdgeKind::Requires);
            for list in [&mut requires, &mut build_requires] {
                list.sort_unstable();
                list.dedup();
            }
            build_requires.retain(|index| requires.binary_search(index).is_err());
            Package {
                recipe: Arc::clone(self.recipes[*node]),
                requires,
                build_requires,
            }
        });
        let packages: Vec<Package> = packages.collect();
        let mut by_name: BTreeMap<PackageName, PackageIndex> = BTreeMap::new();
        for (at, package) in packages.iter().enumerate() {
            let is_chosen = package.variant() == self.chosen(package.name());
            if is_chosen || !by_name.contains_key(package.name()) {
                by_name.insert(package.name().clone(), PackageIndex(at));
            }
        }
        let default: Vec<&PackageName> = match &self.info.default {
            Some(names) => names.iter().collect(),
            None => roots.iter().map(|(name, _)| *name).collect(),
        };
        let mut default: Vec<_> = default
            .into_iter()
            .filter_map(|name| by_name.get(name).copied())
            .collect();
        default.sort_unstable();
        Graph {
            info: self.info.clone(),
            packages,
            default,
            by_name,
        }
    }

    /// Two variants of one package cannot be activated side by side, so no build may see both.
    fn two_variants(&mut self, graph: &Graph) {
        if graph.packages.len() == graph.by_name.len() {
            return;
        }
        for package in &graph.packages {
            let direct: Vec<_> = package.dependencies().collect();
            let mut seen: HashMap<&PackageName, Option<&VariantName>> = HashMap::new();
            for index in graph.closure(&direct) {
                let other = &graph[index];
                let earlier = seen.insert(other.name(), other.variant());
                if earlier.is_some_and(|earlier| earlier != other.variant()) {
                    let message = format!(
                        "`{}` would see two variants of `{}` at once.",
                        package.name(),
                        other.name()
                    );
                    let help = "let all its dependencies require the same variant";
                    let name = package.name().clone();
                    self.report(&package.recipe.place, Some(name), message, help.to_owned());
                }
            }
        }
    }
}

fn targets(edges: &[Edge<'_>], position: &[usize], wanted: impl Fn(EdgeKind) -> bool) -> Vec<PackageIndex> {
    let edges = edges.iter().filter(|edge| wanted(edge.kind));
    edges.map(|edge| PackageIndex(position[edge.to])).collect()
}

fn label(recipe: &Recipe) -> String {
    match &recipe.variant {
        Some(variant) => format!("{} ({variant})", recipe.name),
        None => recipe.name.to_string(),
    }
}
