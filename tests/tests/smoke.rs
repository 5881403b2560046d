//! Smoke.
use std::time::Duration;
#[test]
fn smoke() {
    for w in [1, 2, 4] {
        let rt = fibra::Runtime::builder().workers(w).build().unwrap();
        let n = rt.run(|| {
            let hs: Vec<_> = (0..1000u64)
                .map(|i| {
                    fibra::go!(move || {
                        fibra::sleep(Duration::from_millis(10));
                        i
                    })
                })
                .collect();
            hs.into_iter().map(|h| h.join().unwrap()).sum::<u64>()
        });
        assert_eq!(n, 499500);
        println!("{:?}", rt.metrics());
        fn fib(n: u64) -> u64 {
            if n < 2 {
                return n;
            }
            let a = fibra::go!(fib(n - 1));
            let b = fib(n - 2);
            a.join().unwrap() + b
        }
        assert_eq!(rt.run(|| fib(18)), 2584);
        let h = rt.spawn(|| fibra::sleep(Duration::from_secs(100)));
        drop(rt);
        assert!(h.join().unwrap_err().is::<fibra::Cancelled>());
    }
}
