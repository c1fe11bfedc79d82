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

/// The choice in brackets of a setting of the kernel; nothing where there is no such setting.
fn chosen(name: &str) -> String {
    let path = format!("/sys/kernel/mm/transparent_hugepage/{name}");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let choice = text
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'));
    choice.map_or(String::new(), |(choice, _)| choice.to_owned())
}

/// KiB of huge pages under an arena of 8 of them that was just written.
fn kib_of_huge_pages(slab: &Slab<u8>) -> u64 {
    let line = smaps(slab.as_ptr().addr(), "AnonHugePages:").expect("the kernel counts them");
    line.strip_suffix("kB").unwrap().trim().parse().unwrap()
}

#[test]
fn large_arenas_are_advised_to_huge_pages_and_get_some() {
    let written = || {
        let mut slab = Slab::<u8>::zeroed(8 * HUGE_PAGE);
        slab.fill(1);
        slab
    };
    let slab = written();
    let flags = smaps(slab.as_ptr().addr(), "VmFlags:").expect("the kernel lists the mapping");
    let (enabled, defrag) = (chosen("enabled"), chosen("defrag"));
    if !matches!(enabled.as_str(), "always" | "madvise") {
        eprintln!("skipped: this kernel gives no huge pages (enabled: `{enabled}`)");
        return;
    }
    assert!(
        flags.split(' ').any(|flag| flag == "hg"),
        "no advice in `{flags}`"
    );
    if !matches!(defrag.as_str(), "always" | "madvise" | "defer+madvise") {
        eprintln!("huge pages not counted: this kernel makes none on demand (defrag: `{defrag}`)");
        return;
    }
    // Free memory may lie badly for one of them, hardly for all.
    let slabs: Vec<Slab<u8>> = (0..4).map(|_| written()).chain([slab]).collect();
    let kib: u64 = slabs.iter().map(kib_of_huge_pages).sum();
    assert!(
        kib > 0,
        "advised, but none was given (enabled: {enabled}, defrag: {defrag})"
    );
}
