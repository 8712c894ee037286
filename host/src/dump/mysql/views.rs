//! The order of views: each one after those that it uses.
//!
//! The dump program makes them in the order of their names, over stand-ins that have the right columns. That is not
//! enough for a view WITH CHECK OPTION, which the server makes only over what can be updated.

use std::collections::{HashMap, HashSet};

/// A view and how it is made.
#[derive(Debug)]
pub(super) struct View {
    pub(super) name: String,
    /// All names in its definition: tables and views, but columns too.
    pub(super) uses: HashSet<String>,
    /// The statements that make it, as they are written.
    pub(super) statements: Vec<u8>,
}

impl View {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            uses: HashSet::new(),
            statements: Vec::new(),
        }
    }
}

/// The views, each after those whose names occur in its definition. A column that is called like a view only moves
/// that view forward; where this makes a circle, the original order decides.
pub(super) fn ordered(views: &[View]) -> Vec<&View> {
    let places: HashMap<&str, usize> = views
        .iter()
        .enumerate()
        .map(|(i, v)| (v.name.as_str(), i))
        .collect();
    let mut order = Vec::with_capacity(views.len());
    let mut seen = vec![false; views.len()];
    for first in 0..views.len() {
        // A view stays on the stack until all that it uses is placed.
        let mut stack = vec![(first, false)];
        while let Some((i, used_are_placed)) = stack.pop() {
            if used_are_placed {
                order.push(&views[i]);
                continue;
            }
            if std::mem::replace(&mut seen[i], true) {
                continue;
            }
            stack.push((i, true));
            let mut used: Vec<usize> = views[i]
                .uses
                .iter()
                .filter_map(|name| places.get(name.as_str()).copied())
                .collect();
            used.sort_unstable_by(|a, b| b.cmp(a));
            stack.extend(used.into_iter().map(|used| (used, false)));
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(views: &[(&str, &[&str])]) -> String {
        let views: Vec<View> = views
            .iter()
            .map(|(name, uses)| View {
                uses: uses.iter().map(|name| (*name).to_owned()).collect(),
                ..View::new((*name).to_owned())
            })
            .collect();
        ordered(&views)
            .iter()
            .map(|view| view.name.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn a_view_comes_after_what_it_uses() {
        assert_eq!(
            order(&[("a", &["c", "t"]), ("b", &["b"]), ("c", &["d"]), ("d", &[])]),
            "d c a b"
        );
        assert_eq!(order(&[("a", &["b", "c"]), ("b", &["c"]), ("c", &[])]), "c b a");
    }

    #[test]
    fn a_circle_of_names_loses_no_view() {
        assert_eq!(
            order(&[("a", &["b"]), ("b", &["a"]), ("c", &["c", "a"])]),
            "b a c"
        );
    }
}
