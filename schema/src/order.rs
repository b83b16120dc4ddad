//! Owns putting nodes in an order in which each comes after all it points at, and finding the cycles that forbid it.

use std::collections::VecDeque;

/// The nodes, each after everything it points at, or one shortest cycle of every knot of cycles.
///
/// `edges[n]` lists what node `n` points at. A cycle starts with its smallest node, which is not repeated at its end.
/// No recursion: chains may be as long as memory allows.
pub(crate) fn dependencies_first(edges: &[Vec<usize>]) -> Result<Vec<usize>, Vec<Vec<usize>>> {
    let mut order = Vec::with_capacity(edges.len());
    let mut cycles = Vec::new();
    for knot in Knots::of(edges) {
        match knot[..] {
            [node] if !edges[node].contains(&node) => order.push(node),
            _ => cycles.push(shortest_cycle(edges, &knot)),
        }
    }
    if cycles.is_empty() { Ok(order) } else { Err(cycles) }
}

/// Finds the strongly connected components, by Tarjan's algorithm with a stack of its own.
struct Knots<'a> {
    edges: &'a [Vec<usize>],
    /// When each node was first seen, from 1; 0 means not yet.
    seen: Vec<usize>,
    /// The earliest seen node that is known to be reachable.
    low: Vec<usize>,
    open: Vec<usize>,
    is_open: Vec<bool>,
    clock: usize,
    found: Vec<Vec<usize>>,
}

impl<'a> Knots<'a> {
    /// The components, each after those it points at.
    fn of(edges: &'a [Vec<usize>]) -> Vec<Vec<usize>> {
        let count = edges.len();
        let mut knots = Self {
            edges,
            seen: vec![0; count],
            low: vec![0; count],
            open: Vec::new(),
            is_open: vec![false; count],
            clock: 0,
            found: Vec::new(),
        };
        for node in 0..count {
            if knots.seen[node] == 0 {
                knots.visit(node);
            }
        }
        knots.found
    }

    fn visit(&mut self, root: usize) {
        let mut path = vec![(root, 0)];
        self.enter(root);
        while let Some((node, next)) = path.last_mut() {
            let node = *node;
            if let Some(&target) = self.edges[node].get(*next) {
                *next += 1;
                if self.seen[target] == 0 {
                    self.enter(target);
                    path.push((target, 0));
                } else if self.is_open[target] {
                    self.low[node] = self.low[node].min(self.seen[target]);
                }
                continue;
            }
            path.pop();
            if let Some((parent, _)) = path.last() {
                self.low[*parent] = self.low[*parent].min(self.low[node]);
            }
            if self.low[node] == self.seen[node] {
                self.close(node);
            }
        }
    }

    fn enter(&mut self, node: usize) {
        self.clock += 1;
        self.seen[node] = self.clock;
        self.low[node] = self.clock;
        self.open.push(node);
        self.is_open[node] = true;
    }

    fn close(&mut self, node: usize) {
        let mut knot = Vec::new();
        while let Some(member) = self.open.pop() {
            self.is_open[member] = false;
            knot.push(member);
            if member == node {
                break;
            }
        }
        self.found.push(knot);
    }
}

/// The shortest cycle through the smallest node of a knot.
fn shortest_cycle(edges: &[Vec<usize>], knot: &[usize]) -> Vec<usize> {
    let Some(start) = knot.iter().min().copied() else {
        return Vec::new();
    };
    let mut came_from = vec![None; edges.len()];
    let mut belongs = vec![false; edges.len()];
    for node in knot {
        belongs[*node] = true;
    }
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for &target in &edges[node] {
            if target == start {
                let mut cycle = vec![node];
                while let Some(&last) = cycle.last().filter(|last| **last != start) {
                    match came_from[last] {
                        Some(previous) => cycle.push(previous),
                        None => break,
                    }
                }
                cycle.reverse();
                return cycle;
            }
            if came_from[target].is_none() && belongs[target] {
                came_from[target] = Some(node);
                queue.push_back(target);
            }
        }
    }
    vec![start]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_knot_gives_one_shortest_cycle_in_order() {
        // 0 -> 1 -> 2 -> 0 with a detour 1 -> 3 -> 2; 4 -> 4; 5 -> 0 lies in no cycle.
        let edges = [vec![1], vec![3, 2], vec![0], vec![2], vec![4], vec![0]];
        let mut cycles = dependencies_first(&edges).unwrap_err();
        cycles.sort();
        assert_eq!(cycles, [vec![0, 1, 2], vec![4]]);
    }

    #[test]
    fn a_long_chain_needs_no_deep_stack() {
        let edges: Vec<_> = (0..200_000)
            .map(|n: usize| n.checked_add(1).filter(|m| *m < 200_000))
            .collect();
        let edges: Vec<Vec<usize>> = edges.into_iter().map(|next| next.into_iter().collect()).collect();
        assert_eq!(dependencies_first(&edges).unwrap()[0], 199_999);
    }

    proptest! {
        #[test]
        fn what_is_pointed_at_comes_first_or_a_true_cycle_is_named(
            edges in prop::collection::vec(prop::collection::vec(0usize..12, 0..4), 12)
        ) {
            match dependencies_first(&edges) {
                Ok(order) => {
                    let mut position = vec![usize::MAX; edges.len()];
                    for (at, node) in order.iter().enumerate() {
                        position[*node] = at;
                    }
                    for (node, targets) in edges.iter().enumerate() {
                        for target in targets {
                            prop_assert!(position[*target] < position[node]);
                        }
                    }
                }
                Err(cycles) => {
                    for cycle in cycles {
                        for (at, node) in cycle.iter().enumerate() {
                            let next = cycle[(at + 1) % cycle.len()];
                            prop_assert!(edges[*node].contains(&next));
                        }
                    }
                }
            }
        }
    }
}
