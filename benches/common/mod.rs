//! What the benches share.

/// Whether a filter on the command line, if any, could match in a group; its model is made only
/// then.
pub(crate) fn is_wanted(group: &str) -> bool {
    let mut arguments = std::env::args().skip(1).filter(|a| !a.starts_with('-'));
    arguments.all(|filter| group.contains(&filter) || filter.starts_with(group))
}
