//! The runner threads, which drive the sandboxes in one queue.

use crate::driven::Driven;
use crossbeam_channel::{Receiver, Sender};
use std::sync::{Arc, OnceLock};

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

    /// The executor, its threads started at the first use: one for each CPU.
    fn get() -> &'static Self {
        static EXECUTOR: OnceLock<Executor> = OnceLock::new();
        EXECUTOR.get_or_init(|| {
            let (queue, work) = crossbeam_channel::unbounded();
            let threads = std::thread::available_parallelism().map_or(1, usize::from);
            for _ in 0..threads {
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
