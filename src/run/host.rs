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
}
