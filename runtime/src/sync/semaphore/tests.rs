#[cfg(loom)]
mod models {
    use crate::sync::Semaphore;
    use loom::sync::Arc;
    use loom::thread;
    use std::time::Duration;

    /// Takes a permit for good, if it comes in time; under loom that is at once.
    fn take_in_time(semaphore: &Semaphore) -> usize {
        match semaphore.acquire_timeout(Duration::ZERO) {
            Some(permit) => {
                permit.forget();
                1
            }
            None => 0,
        }
    }

    /// One that waits, one whose time is over (to the line a cancel is the same), and a permit: it is had
    /// by one of them or by the semaphore.
    ///
    /// Fails when the look at the permits and the enlisting are under the lock one after the other; when a timeout
    /// counts as served; when a permit is added without a look at the queue.
    #[test]
    fn loom_release_against_acquire_against_timeout() {
        loom::model(|| {
            let semaphore = Arc::new(Semaphore::new(0));
            let waiter = {
                let semaphore = semaphore.clone();
                thread::spawn(move || semaphore.acquire().forget())
            };
            let hasty = {
                let semaphore = semaphore.clone();
                thread::spawn(move || take_in_time(&semaphore))
            };
            semaphore.add_permits(1);
            let taken = hasty.join().unwrap();
            semaphore.add_permits(taken);
            waiter.join().unwrap();
            assert_eq!(semaphore.available_permits(), 0);
        });
    }

    /// Guards that come back while others wait: the permit goes round, and is there at the end.
    ///
    /// Fails in the first and last case of the model above.
    #[test]
    fn loom_a_permit_goes_round() {
        loom::model(|| {
            let semaphore = Arc::new(Semaphore::new(1));
            let others = [(); 2].map(|()| {
                let semaphore = semaphore.clone();
                thread::spawn(move || drop(semaphore.acquire()))
            });
            drop(semaphore.acquire());
            for other in others {
                other.join().unwrap();
            }
            assert_eq!(semaphore.available_permits(), 1);
        });
    }
}
