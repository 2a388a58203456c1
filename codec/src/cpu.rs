//! What the processor must be able to do for this build to run.

/// The processor lacks instructions that this build uses without asking.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this processor lacks {}, which this build of cairn needs; build it from source on or for this processor, \
     with RUST_REED_SOLOMON_ERASURE_ARCH=native in the environment and -Ctarget-cpu=native in place of \
     -Ctarget-cpu=x86-64-v2 in .cargo/config.toml (or with the names of that processor)",
    missing.join(", ")
)]
pub struct MissingCpuFeature {
    /// Names as in /proc/cpuinfo or close to it.
    pub missing: Vec<&'static str>,
}

/// To be called at the start of every program, before any coding: without it a lacking processor ends the process
/// by an illegal instruction.
pub fn require_cpu_features() -> Result<(), MissingCpuFeature> {
    check(required())
}

/// A name, and whether the processor has it.
type Feature = (&'static str, bool);

fn check(required: Vec<Feature>) -> Result<(), MissingCpuFeature> {
    let missing: Vec<&str> = required.into_iter().filter(|(_, present)| !present).map(|(name, _)| name).collect();
    if missing.is_empty() { Ok(()) } else { Err(MissingCpuFeature { missing }) }
}

/// The code kernel of other processors uses only what each of them has.
#[cfg(not(target_arch = "x86_64"))]
fn required() -> Vec<Feature> {
    Vec::new()
}

#[cfg(target_arch = "x86_64")]
fn required() -> Vec<Feature> {
    [compiler_features(), kernel_features()].concat()
}

/// What the Rust code was compiled for. Read from the processor itself: for a feature that the compiler may use
/// anyway, the standard library's detection answers "yes" without looking.
#[cfg(target_arch = "x86_64")]
fn compiler_features() -> Vec<Feature> {
    let bits = std::arch::x86_64::__cpuid(1).ecx;
    let feature = |used: bool, name, bit: u32| used.then_some((name, bits & (1 << bit) != 0));
    [
        feature(cfg!(target_feature = "sse3"), "sse3", 0),
        feature(cfg!(target_feature = "pclmulqdq"), "pclmulqdq", 1),
        feature(cfg!(target_feature = "ssse3"), "ssse3", 9),
        feature(cfg!(target_feature = "cmpxchg16b"), "cmpxchg16b", 13),
        feature(cfg!(target_feature = "sse4.1"), "sse4.1", 19),
        feature(cfg!(target_feature = "sse4.2"), "sse4.2", 20),
        feature(cfg!(target_feature = "popcnt"), "popcnt", 23),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What the C compiler may use in the code kernel (-march=haswell), unless whoever built it named another processor.
#[cfg(target_arch = "x86_64")]
fn kernel_features() -> Vec<Feature> {
    if option_env!("RUST_REED_SOLOMON_ERASURE_ARCH").is_some() {
        return Vec::new();
    }
    vec![
        ("avx", std::arch::is_x86_feature_detected!("avx")),
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("bmi1", std::arch::is_x86_feature_detected!("bmi1")),
        ("bmi2", std::arch::is_x86_feature_detected!("bmi2")),
        ("f16c", std::arch::is_x86_feature_detected!("f16c")),
        ("fma", std::arch::is_x86_feature_detected!("fma")),
        ("lzcnt", std::arch::is_x86_feature_detected!("lzcnt")),
        ("movbe", std::arch::is_x86_feature_detected!("movbe")),
    ]
}

#[cfg(test)]
mod tests {
    use super::{MissingCpuFeature, check, require_cpu_features};

    #[test]
    fn the_processor_that_runs_this_build_is_accepted() {
        assert_eq!(require_cpu_features(), Ok(()));
    }

    #[test]
    fn exactly_the_missing_features_are_named_with_the_next_step() {
        let refused = check(vec![("sse4.2", true), ("avx2", false), ("bmi2", false)]).expect_err("two are missing");
        assert_eq!(refused, MissingCpuFeature { missing: vec!["avx2", "bmi2"] });
        let message = refused.to_string();
        for part in ["lacks avx2, bmi2,", "RUST_REED_SOLOMON_ERASURE_ARCH", "target-cpu"] {
            assert!(message.contains(part), "{part} in: {message}");
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn the_kernel_and_the_compiler_are_both_asked_for() {
        let names: Vec<&str> = super::required().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names.contains(&"sse4.2"), cfg!(target_feature = "sse4.2"));
        assert_eq!(names.contains(&"avx2"), option_env!("RUST_REED_SOLOMON_ERASURE_ARCH").is_none());
    }
}
