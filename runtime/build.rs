//! Stops the build on a platform that Fibra has no context switch for, with one sentence.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = |key: &str| std::env::var(key).unwrap_or_default();
    let arch = target("CARGO_CFG_TARGET_ARCH");
    let os = target("CARGO_CFG_TARGET_OS");
    let width = target("CARGO_CFG_TARGET_POINTER_WIDTH");
    if arch != "x86_64" || os != "linux" || width != "64" {
        println!(
            "cargo::error=fibra runs on 64-bit x86-64 Linux only, not on {width}-bit {arch} {os}"
        );
    }
}
