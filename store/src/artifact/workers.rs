//! Owns doing many independent things with a few threads, each of which keeps its buffers from one to the next.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::archive::press::Threads;

/// Does `work` for each of `items`, the first ones first, and returns what it gave in the order of `items`.
/// Each thread makes itself one `W` and keeps it.
///
/// # Errors
/// One of those that `make` or `work` return; then no further items are begun.
pub fn for_each<T: Sync, W, O: Send, E: Send>(
    threads: Threads,
    items: &[T],
    make: impl Fn() -> Result<W, E> + Sync,
    work: impl Fn(&mut W, &T) -> Result<O, E> + Sync,
) -> Result<Vec<O>, E> {
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let run = || {
        let mut done = Vec::new();
        let mut worker = make()?;
        while !failed.load(Ordering::Relaxed) {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(place) else { break };
            done.push((place, work(&mut worker, item)?));
        }
        Ok(done)
    };
    let run = || run().inspect_err(|_| failed.store(true, Ordering::Relaxed));
    let count = threads.get().min(items.len());
    if count < 2 {
        // In this thread, and in order.
        let done: Vec<(usize, O)> = run()?;
        return Ok(done.into_iter().map(|(_, output)| output).collect());
    }
    let mut done = thread::scope(|scope| {
        let started: Vec<_> = (0..count).map(|_| scope.spawn(run)).collect();
        let mut all = Vec::with_capacity(items.len());
        let mut result = Ok(());
        for thread in started {
            match thread.join() {
                Ok(Ok(some)) => all.extend(some),
                Ok(Err(error)) => result = Err(error),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        result.map(|()| all)
    })?;
    done.sort_by_key(|(place, _)| *place);
    Ok(done.into_iter().map(|(_, output)| output).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroUsize;

    #[test]
    fn results_come_in_the_order_of_the_items_and_an_error_ends_it() {
        let threads = Threads::new(NonZeroUsize::new(3).unwrap());
        let items: Vec<u32> = (0..500).collect();
        let doubled = for_each(threads, &items, || Ok::<_, String>(()), |(), item| Ok(item * 2)).unwrap();
        assert_eq!(doubled, items.iter().map(|item| item * 2).collect::<Vec<_>>());
        let failed = for_each(
            threads,
            &items,
            || Ok(()),
            |(), item| {
                if *item == 250 { Err(*item) } else { Ok(()) }
            },
        );
        assert_eq!(failed, Err(250));
    }
}
