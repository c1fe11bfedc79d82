//! The pages weights stand on.

use vv_eval::model::arena::{HUGE_PAGE, Slab};

/// The line `key` of the mapping in `/proc/self/smaps` that holds `at`.
fn smaps(at: usize, key: &str) -> Option<String> {
    let text = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mut is_inside = false;
    for line in text.lines() {
        let range = line.split(' ').next().and_then(|word| word.split_once('-'));
        let address = |hex: &str| usize::from_str_radix(hex, 16);
        if let Some((Ok(from), Ok(to))) = range.map(|(a, b)| (address(a), address(b))) {
            is_inside = (from..to).contains(&at);
        } else if is_inside && line.starts_with(key) {
            return Some(line[key.len()..].trim().to_owned());
        }
    }
    None
}

#[test]
fn large_arenas_are_advised_to_huge_pages_and_get_them() {
    let mut slab = Slab::<u8>::zeroed(8 * HUGE_PAGE);
    slab.fill(1);
    let at = slab.as_ptr().addr();
    let flags = smaps(at, "VmFlags:").expect("the kernel lists the mapping");
    let setting = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    let setting = setting.unwrap_or_default();
    if setting.is_empty() || setting.contains("[never]") {
        eprintln!(
            "skipped: this kernel gives no huge pages ({})",
            setting.trim()
        );
        return;
    }
    assert!(
        flags.split(' ').any(|flag| flag == "hg"),
        "no advice in `{flags}`"
    );
    // How many it gives depends on how free memory lies; the record keeps the fraction.
    assert!(smaps(at, "AnonHugePages:").is_some());
}
