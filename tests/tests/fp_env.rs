//! Feature `fp-env`: the floating-point environment belongs to the goroutine.
#![cfg(feature = "fp-env")]

use std::arch::asm;
use std::hint::black_box;

use fibra::go;
use fibra_tests::{everywhere, join};

const ROUNDING: u32 = 0x6000;
const UPWARDS: u32 = 0x4000;

fn mxcsr() -> u32 {
    let mut value = 0_u32;
    // SAFETY: stores a control register to a local variable.
    unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut value, options(nostack, preserves_flags)) };
    value
}

fn set_mxcsr(value: u32) {
    // SAFETY: Rust code must not run with another rounding mode as far as it computes with floats; the
    // tests compute only what they check, hidden from the optimiser, and put the mode back.
    unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const value, options(nostack, preserves_flags)) };
}

/// One third, rounded as the current mode says.
fn third() -> f64 {
    let quotient: f64;
    // SAFETY: divides two registers.
    unsafe {
        asm!("divsd {0}, {1}", inlateout(xmm_reg) black_box(1.0_f64) => quotient,
             in(xmm_reg) black_box(3.0_f64), options(nomem, nostack));
    }
    quotient
}

#[test]
fn a_rounding_mode_stays_with_its_goroutine() {
    everywhere(|setup| {
        setup.run(|| {
            let nearest = third();
            let changer = go!({
                let before = mxcsr();
                set_mxcsr((before & !ROUNDING) | UPWARDS);
                let upwards = third();
                for _ in 0..100 {
                    fibra::yield_now();
                    assert_eq!(mxcsr() & ROUNDING, UPWARDS);
                    assert!(third().to_bits() == upwards.to_bits());
                }
                set_mxcsr(before);
                upwards
            });
            let others: Vec<_> = (0..8)
                .map(|_| {
                    go!(move || {
                        for _ in 0..100 {
                            assert_eq!(mxcsr() & ROUNDING, 0);
                            assert!(third().to_bits() == nearest.to_bits());
                            fibra::yield_now();
                        }
                    })
                })
                .collect();
            let upwards = join(changer);
            assert!(upwards > nearest, "the mode had an effect");
            others.into_iter().for_each(join);
        });
    });
}
