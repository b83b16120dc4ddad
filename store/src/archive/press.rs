//! Owns compressing in parallel with bounded memory: chunks go in and frames come out in the same order.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::source::Chunk;
use crate::seekable::Frame;
use crate::seekable::frames::{CHUNK, FrameWriter};

/// The most threads that compress at once. Each holds some 10 MB, and one reader does not feed more than these.
const MAX_THREADS: usize = 8;

/// The most chunks under way, each at most twice 4 MiB of memory. Some wait for an earlier one whose thread is late.
const MAX_SLOTS: usize = 16;

/// How many threads compress. The number never decides a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threads(usize);

impl Threads {
    /// As many as `wanted`, within bounds.
    pub fn new(wanted: NonZeroUsize) -> Self {
        Self(wanted.get().min(MAX_THREADS))
    }

    /// As many as this process may use.
    pub fn available() -> Self {
        Self::new(thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    /// The number.
    pub fn get(self) -> usize {
        self.0
    }
}

/// A chunk with the buffer its frame is written to. There is a fixed number of them, which bounds the memory.
struct Slot {
    chunk: Chunk,
    frame: Vec<u8>,
}

struct Work<T> {
    sequence: u64,
    tag: T,
    slot: Slot,
}

struct Done<T> {
    work: Work<T>,
    lengths: io::Result<Frame>,
}

/// Compresses what `produce` fills in, until it returns `None`, and gives each frame to `consume`, in order, with what
/// `produce` returned beside the chunk. `produce` runs in a thread of its own, `consume` in the caller's.
///
/// # Errors
/// The first error of `produce` or of `consume`, or zstd's.
pub fn press<T: Send, E: From<io::Error> + Send>(
    threads: Threads,
    produce: impl FnMut(&mut Chunk) -> Result<Option<T>, E> + Send,
    mut consume: impl FnMut(T, Frame, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let slots = (2 * threads.get() + 4).min(MAX_SLOTS);
    let (free_in, free_out) = bounded(slots);
    let (work_in, work_out) = bounded(slots);
    let (done_in, done_out) = bounded(slots);
    for _ in 0..slots {
        let slot = Slot {
            chunk: Chunk::new(CHUNK),
            frame: Vec::new(),
        };
        // The channel has room for all of them and its other end is held here.
        let _ = free_in.send(slot);
    }
    thread::scope(|scope| {
        let producer = scope.spawn(move || feed(produce, &free_out, &work_in));
        for _ in 0..threads.get() {
            let (work_out, done_in) = (work_out.clone(), done_in.clone());
            scope.spawn(move || compress(&work_out, &done_in));
        }
        // Only the threads keep these open now, so that each end of a channel notices when the other is given up.
        drop((work_out, done_in));
        let consumed = collect(&done_out, &free_in, &mut consume);
        drop((done_out, free_in));
        let produced = producer
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        produced.and(consumed)
    })
}

fn feed<T, E>(
    mut produce: impl FnMut(&mut Chunk) -> Result<Option<T>, E>,
    free: &Receiver<Slot>,
    work: &Sender<Work<T>>,
) -> Result<(), E> {
    let mut sequence = 0;
    while let Ok(mut slot) = free.recv() {
        slot.chunk.clear();
        let Some(tag) = produce(&mut slot.chunk)? else {
            break;
        };
        let next = Work { sequence, tag, slot };
        if work.send(next).is_err() {
            break;
        }
        sequence += 1;
    }
    Ok(())
}

fn compress<T>(work: &Receiver<Work<T>>, done: &Sender<Done<T>>) {
    let mut writer = None;
    while let Ok(mut next) = work.recv() {
        let lengths = compress_one(&mut writer, &mut next.slot);
        let one = Done { work: next, lengths };
        if done.send(one).is_err() {
            break;
        }
    }
}

fn compress_one(writer: &mut Option<FrameWriter>, slot: &mut Slot) -> io::Result<Frame> {
    let writer = match writer {
        Some(writer) => writer,
        None => writer.insert(FrameWriter::new()?),
    };
    writer.write(slot.chunk.content(), &mut slot.frame)
}

fn collect<T, E: From<io::Error>>(
    done: &Receiver<Done<T>>,
    free: &Sender<Slot>,
    consume: &mut impl FnMut(T, Frame, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut early = BTreeMap::new();
    let mut wanted = 0;
    while let Ok(one) = done.recv() {
        early.insert(one.work.sequence, one);
        while let Some(one) = early.remove(&wanted) {
            wanted += 1;
            consume(one.work.tag, one.lengths?, &one.work.slot.frame)?;
            // The producer may have ended already.
            let _ = free.send(one.work.slot);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn threads(number: usize) -> Threads {
        Threads::new(NonZeroUsize::new(number).unwrap())
    }

    #[test]
    fn an_error_on_either_side_ends_it() {
        for fails_at in [0, 3, 50] {
            let mut count = 0;
            let produce = |_: &mut Chunk| {
                count += 1;
                if count > fails_at {
                    Err(io::Error::other("produce"))
                } else {
                    Ok(Some(()))
                }
            };
            let error = press(threads(3), produce, |(), _, _| Ok(())).unwrap_err();
            assert_eq!(error.to_string(), "produce");

            let mut count = 0;
            let consume = |(), _: Frame, _: &[u8]| {
                count += 1;
                if count > fails_at {
                    Err(io::Error::other("consume"))
                } else {
                    Ok(())
                }
            };
            let error = press(threads(3), |_| Ok(Some(())), consume).unwrap_err();
            assert_eq!(error.to_string(), "consume");
        }
    }

    #[test]
    fn frames_come_out_in_the_order_the_chunks_went_in() {
        let mut next = 0;
        let produce = |_: &mut Chunk| -> io::Result<_> {
            next += 1;
            Ok((next <= 200).then_some(next))
        };
        let mut seen = Vec::new();
        press(threads(4), produce, |tag, _, _| {
            seen.push(tag);
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, (1..=200).collect::<Vec<_>>());
    }
}
