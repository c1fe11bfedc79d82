//! What the benches share.

/// Whether the filters on the command line leave anything of a group; models are made only then.
pub fn is_wanted(group: &str) -> bool {
    let mut filters = std::env::args().skip(1).filter(|a| !a.starts_with("--"));
    let first = filters.next();
    first
        .iter()
        .cloned()
        .chain(filters)
        .all(|f| group.contains(&f) || f.starts_with(group))
        || first.is_none()
}
