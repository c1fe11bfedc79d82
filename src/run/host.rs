//! Collects the [`HostKey`]: the machine, the build, the kernel.

use crate::record::HostKey;

/// Describes this machine and this build.
///
/// * `kernel`: compute kernel the workers chose
///
/// What the system does not tell is `unknown`.
pub fn collect(kernel: &str) -> HostKey {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let os_release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    HostKey {
        cpu: cpu_model(&cpuinfo),
        usable_cpus: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        os_release: known(os_release.trim()),
        vv_eval_version: env!("CARGO_PKG_VERSION").to_owned(),
        rustc: env!("VV_EVAL_RUSTC")
            .trim_start_matches("rustc ")
            .to_owned(),
        kernel: kernel.to_owned(),
        detected_features: detected_features(),
        compiled_features: compiled_features(),
    }
}

/// `model name` of the first CPU in the text of `/proc/cpuinfo`.
fn cpu_model(cpuinfo: &str) -> String {
    let name = cpuinfo
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find_map(|(key, value)| (key.trim() == "model name").then_some(value.trim()));
    known(name.unwrap_or_default())
}

fn known(text: &str) -> String {
    if text.is_empty() {
        "unknown".to_owned()
    } else {
        text.to_owned()
    }
}

fn names(features: &[(&str, bool)]) -> Vec<String> {
    features
        .iter()
        .filter(|(_, present)| *present)
        .map(|(name, _)| (*name).to_owned())
        .collect()
}

/// Instruction sets of this CPU that an integer dot product could use.
#[cfg(target_arch = "x86_64")]
fn detected_features() -> Vec<String> {
    names(&[
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("fma", std::arch::is_x86_feature_detected!("fma")),
        ("avxvnni", std::arch::is_x86_feature_detected!("avxvnni")),
        ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
        ("avx512bw", std::arch::is_x86_feature_detected!("avx512bw")),
        (
            "avx512vnni",
            std::arch::is_x86_feature_detected!("avx512vnni"),
        ),
    ])
}

/// Instruction sets of this CPU that an integer dot product could use.
#[cfg(target_arch = "aarch64")]
fn detected_features() -> Vec<String> {
    names(&[
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
        (
            "dotprod",
            std::arch::is_aarch64_feature_detected!("dotprod"),
        ),
        ("i8mm", std::arch::is_aarch64_feature_detected!("i8mm")),
    ])
}

/// Instruction sets of this CPU that an integer dot product could use.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn detected_features() -> Vec<String> {
    Vec::new()
}

/// The same instruction sets, as far as the compiler was told to assume them.
fn compiled_features() -> Vec<String> {
    names(&[
        ("avx2", cfg!(target_feature = "avx2")),
        ("fma", cfg!(target_feature = "fma")),
        ("avxvnni", cfg!(target_feature = "avxvnni")),
        ("avx512f", cfg!(target_feature = "avx512f")),
        ("avx512bw", cfg!(target_feature = "avx512bw")),
        ("avx512vnni", cfg!(target_feature = "avx512vnni")),
        ("neon", cfg!(target_feature = "neon")),
        ("dotprod", cfg!(target_feature = "dotprod")),
        ("i8mm", cfg!(target_feature = "i8mm")),
    ])
}

/// RFC 3339 UTC, whole seconds, of a moment `seconds` after 1970.
///
/// Source: Hinnant (2013), *chrono-Compatible Low-Level Date Algorithms*, `civil_from_days`.
pub fn rfc3339(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z",
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_model_name_counts() {
        let text = "processor\t: 0\nmodel name\t: AMD EPYC 9B14\nmodel name\t: other\n";
        assert_eq!(cpu_model(text), "AMD EPYC 9B14");
        assert_eq!(cpu_model("model name\t: \n"), "unknown");
        assert_eq!(cpu_model(""), "unknown");
    }

    #[test]
    fn this_host_is_described() {
        let host = collect("scalar");
        assert_eq!(host.kernel, "scalar");
        assert!(host.rustc.starts_with("1."), "{}", host.rustc);
        assert!(host.usable_cpus >= 1);
    }

    #[test]
    fn dates_follow_the_calendar() {
        // From `date -u -d @N +%FT%TZ`.
        let check = |seconds, text: &str| assert_eq!(rfc3339(seconds), text);
        check(0, "1970-01-01T00:00:00Z");
        check(951_782_400, "2000-02-29T00:00:00Z");
        check(1_709_251_199, "2024-02-29T23:59:59Z");
        check(1_709_251_200, "2024-03-01T00:00:00Z");
        check(4_107_542_399, "2100-02-28T23:59:59Z");
        check(4_107_542_400, "2100-03-01T00:00:00Z");
    }
}
