//! The runner threads, which drive the sandboxes in one queue.

use crate::driven::Driven;
use crossbeam_channel::{Receiver, Sender};
use std::sync::{Arc, OnceLock};

/// The environment variable with the number of runner threads, read once, at the first use.
const RUNNERS: &str = "AMPOULE_RUNNERS";

/// More threads than any machine has CPUs; a bound on what a slip of the hand can cost.
const RUNNERS_MAX: usize = 1024;

/// The process's runner threads.
pub(crate) struct Executor {
    queue: Sender<Arc<Driven>>,
}

impl Executor {
    /// Gives `driven` a turn.
    pub(crate) fn enqueue(driven: Arc<Driven>) {
        // The receiving ends live as long as the process.
        let _ = Self::get().queue.send(driven);
    }

    /// Whether anybody waits for a runner.
    pub(crate) fn is_contended() -> bool {
        !Self::get().queue.is_empty()
    }

    /// The executor, its threads started at the first use.
    fn get() -> &'static Self {
        static EXECUTOR: OnceLock<Executor> = OnceLock::new();
        EXECUTOR.get_or_init(|| {
            let (queue, work) = crossbeam_channel::unbounded();
            for _ in 0..threads(std::env::var(RUNNERS).ok().as_deref()) {
                let work: Receiver<Arc<Driven>> = work.clone();
                // Without any thread nothing would run; with some, the rest does with fewer.
                let _ =
                    std::thread::Builder::new().name("ampoule-runner".into()).spawn(move || {
                        for driven in work {
                            driven.turn();
                        }
                    });
            }
            Self { queue }
        })
    }
}

/// The number of runner threads: what was `asked` for, if that is a number from 1 to [`RUNNERS_MAX`],
/// else one for each CPU.
fn threads(asked: Option<&str>) -> usize {
    asked
        .and_then(|text| text.parse().ok())
        .filter(|threads| (1..=RUNNERS_MAX).contains(threads))
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

#[cfg(test)]
mod tests {
    use super::threads;

    #[test]
    fn the_number_of_runners_is_what_was_asked_for_if_that_makes_sense() {
        let one_for_each_cpu = threads(None);
        assert!(one_for_each_cpu >= 1);
        assert_eq!(threads(Some("2")), 2);
        assert_eq!(threads(Some("1024")), 1024);
        for senseless in ["", "0", "-1", "1025", "two", "2 "] {
            assert_eq!(threads(Some(senseless)), one_for_each_cpu, "{senseless:?}");
        }
    }
}
