//! Looks for mounts in a compose file that would never see another generation.
//!
//! A bind mount of one model's directory, or of one record, is a mount of today's inode. Only a
//! mount of the whole models directory follows the store. Lines are read as they stand, without
//! interpreting YAML: what this looks for is written on one line in both of compose's forms.

/// Directory the store is mounted at.
const MOUNT: &str = "/app/models";

/// A line that mounts too little.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// Its number, from 1.
    pub(super) line: usize,
    /// The path inside the container.
    pub(super) path: String,
    /// Whether the container may write there.
    pub(super) is_writable: bool,
}

/// Mounts at or below the models directory, in written order.
pub(super) fn mounts(text: &str) -> Vec<Mount> {
    let lines = text.lines().enumerate();
    lines
        .filter_map(|(index, line)| mount(index + 1, line))
        .collect()
}

impl Mount {
    /// Whether it is below the models directory, where it would never see another generation.
    pub(super) fn is_leaf(&self) -> bool {
        self.path.trim_end_matches('/') != MOUNT
    }
}

fn mount(line: usize, text: &str) -> Option<Mount> {
    let text = text.split(" #").next().unwrap_or_default().trim();
    if text.starts_with('#') {
        return None;
    }
    let item = text.strip_prefix('-').map_or(text, str::trim_start);
    let (path, mode) = match item.strip_prefix("target:") {
        // The long form says `read_only` on another line.
        Some(target) => (unquoted(target), "ro"),
        None if text.starts_with('-') => short_form(unquoted(item))?,
        None => return None,
    };
    let is_below = path
        .strip_prefix(MOUNT)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    is_below.then(|| Mount {
        line,
        path: path.to_owned(),
        is_writable: !mode.split(',').any(|word| word == "ro"),
    })
}

/// `HOST:CONTAINER[:MODE]`: container path and mode.
fn short_form(item: &str) -> Option<(&str, &str)> {
    let at = item.find(":/")?;
    let rest = &item[at + 1..];
    Some(rest.split_once(':').unwrap_or((rest, "")))
}

fn unquoted(text: &str) -> &str {
    text.trim().trim_matches(['"', '\''])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<(&str, bool, bool)>) {
        let found = mounts(&format!("services:\n{line}\n"));
        let found = found
            .first()
            .map(|it| (it.path.as_str(), it.is_leaf(), it.is_writable));
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn mounts_are_found_in_both_forms() {
        check(
            "      - ./models:/app/models:ro # read-only",
            Some(("/app/models", false, false)),
        );
        check(
            "      - ./models:/app/models",
            Some(("/app/models", false, true)),
        );
        check(
            "      - \"./models/bitnet:/app/models/bitnet:ro\"",
            Some(("/app/models/bitnet", true, false)),
        );
        check(
            "      - ./i.json:/app/models/.current_model_info.json:ro,z",
            Some(("/app/models/.current_model_info.json", true, false)),
        );
        check(
            "        target: /app/models/bitnet",
            Some(("/app/models/bitnet", true, false)),
        );
        check(
            "      - vv_models_volume:/app/models:ro",
            Some(("/app/models", false, false)),
        );
    }

    #[test]
    fn other_lines_are_left_alone() {
        for line in [
            "      # - ./m:/app/models/bitnet",
            "      - ./x:/app/modelsx",
            "    image: a:/app",
            "      - 8080:80",
        ] {
            check(line, None);
        }
        assert_eq!(mounts("a\n- x:/app/models/b\n")[0].line, 2);
    }
}
