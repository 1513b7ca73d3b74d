//! Circles in a graph of modules: groups in which every module reaches every other.

use std::collections::{BTreeMap, BTreeSet};

/// Who imports whom.
pub type Graph<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// Every circle, its members sorted.
pub fn circles(graph: &Graph<'_>) -> Vec<BTreeSet<String>> {
    // Reachability by walking from each module: at most some hundred modules, so clarity wins over speed.
    let reach: BTreeMap<&str, BTreeSet<&str>> =
        graph.keys().map(|start| (*start, reachable(graph, start))).collect();
    let mut found: Vec<BTreeSet<String>> = Vec::new();
    for (one, reached) in &reach {
        let circle: BTreeSet<String> = reached
            .iter()
            .filter(|other| reach.get(*other).is_some_and(|back| back.contains(one)))
            .map(|other| (*other).to_owned())
            .collect();
        if circle.len() > 1 && !found.contains(&circle) {
            found.push(circle);
        }
    }
    found
}

fn reachable<'a>(graph: &Graph<'a>, start: &str) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut next: Vec<&'a str> = graph.get(start).into_iter().flatten().copied().collect();
    while let Some(module) = next.pop() {
        if seen.insert(module) {
            next.extend(graph.get(module).into_iter().flatten());
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(edges: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut graph = Graph::new();
        for (from, to) in edges {
            graph.entry(from).or_default().insert(to);
        }
        circles(&graph).iter().map(|one| one.iter().cloned().collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn a_line_is_no_circle_and_a_ring_is_one() {
        assert!(found(&[("a", "b"), ("b", "c")]).is_empty());
        assert_eq!(found(&[("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")]), ["a b c"]);
    }

    #[test]
    fn rings_that_share_a_module_are_one_circle() {
        assert_eq!(
            found(&[("a", "b"), ("b", "a"), ("b", "c"), ("c", "b"), ("x", "y"), ("y", "x")]),
            ["a b c", "x y"]
        );
    }
}
