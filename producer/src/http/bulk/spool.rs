//! Results that wait for their client to read them.
//!
//! ```text
//! push -> tail -> block -> memory, two blocks at most ----------> next
//!                       -> compressed, temporary file (unlinked) ->
//! ```
//!
//! A client that sends its whole body before it reads (Python's `http.client`, Java's
//! `HttpURLConnection`) makes results wait, and they are up to 80 times as long as the lines: 64 MiB of
//! short lines have some gigabytes of results. So results that do not fit into two blocks of memory go
//! into a temporary file. They are compressed, because results resemble each other. Memory is bounded
//! by the blocks of [`MAX_BULK_REQUESTS`](crate::limits::MAX_BULK_REQUESTS) requests, and the files of
//! all requests together by a [`SpoolDisk`]. When the disk is full, or the file cannot be written, the
//! body is read only as fast as the client reads the results.

mod file;

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use tokio::sync::Notify;

use crate::limits::{MAX_SPOOL_BLOCKS_IN_MEMORY, SPOOL_BLOCK};
pub(in super::super) use file::SpoolDisk;
use file::{Extent, SpoolFile, compress};

/// The writing end. If it is dropped before [`Spool::finish`], the answer is cut off, so that the
/// client sees that results are missing.
#[derive(Debug)]
pub(super) struct Spool {
    shared: Arc<Shared>,
    disk: SpoolDisk,
    file: Option<SpoolFile>,
    /// After the first failure nothing more is written to disk.
    is_broken: bool,
}

/// The reading end: returns results in the order in which they were pushed.
#[derive(Debug)]
pub(super) struct Results(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Notified when results or their end were added.
    added: Notify,
    /// Notified when a block was removed.
    removed: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    blocks: VecDeque<Block>,
    /// The results after the last block.
    tail: Vec<u8>,
    end: Option<End>,
}

#[derive(Debug, Clone, Copy)]
enum End {
    Finished,
    Abandoned,
}

#[derive(Debug)]
enum Block {
    Memory(Vec<u8>),
    Disk(Extent),
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, how: End) {
        self.lock().end.get_or_insert(how);
        self.added.notify_one();
    }

    fn has_memory(&self) -> bool {
        self.lock().blocks.len() < MAX_SPOOL_BLOCKS_IN_MEMORY
    }

    async fn memory(&self) {
        while !self.has_memory() {
            self.removed.notified().await;
        }
    }
}

impl Spool {
    pub(super) fn new(disk: SpoolDisk) -> (Self, Results) {
        let shared = Arc::<Shared>::default();
        let results = Results(Arc::clone(&shared));
        let spool = Self {
            shared,
            disk,
            file: None,
            is_broken: false,
        };
        (spool, results)
    }

    /// Adds a result; waits only when neither memory nor disk has room.
    pub(super) async fn push(&mut self, result: &[u8]) {
        let full = {
            let mut queue = self.shared.lock();
            queue.tail.extend_from_slice(result);
            (queue.tail.len() >= SPOOL_BLOCK).then(|| std::mem::take(&mut queue.tail))
        };
        if let Some(block) = full {
            // Only this task fills the tail, so it stays empty meanwhile and no result overtakes the
            // block.
            let block = self.place(block).await;
            self.shared.lock().blocks.push_back(block);
        }
        self.shared.added.notify_one();
    }

    /// Ends the results.
    pub(super) fn finish(self) {
        self.shared.end(End::Finished);
    }

    /// Puts a block into memory or onto disk.
    async fn place(&mut self, block: Vec<u8>) -> Block {
        if self.shared.has_memory() {
            return Block::Memory(block);
        }
        let block: Arc<[u8]> = block.into();
        if !self.is_broken {
            match self.spill(Arc::clone(&block)).await {
                Ok(Some(extent)) => return Block::Disk(extent),
                Ok(None) => return Block::Memory(block.to_vec()),
                Err(error) => {
                    tracing::warn!(
                        "cannot keep results of a bulk request in a temporary file: {error}; its \
                         body is read only as fast as the client reads the results (TMPDIR names \
                         the folder: make it writable, with room for HTTP_BULK_SPOOL_LIMIT)"
                    );
                    self.is_broken = true;
                }
            }
        }
        self.shared.memory().await;
        Block::Memory(block.to_vec())
    }

    /// Writes a block to the file. Returns `None` if memory is free before there is room on disk.
    async fn spill(&mut self, block: Arc<[u8]>) -> io::Result<Option<Extent>> {
        let packed = compress(block).await?;
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(SpoolFile::new().await?),
        };
        tokio::select! {
            biased;
            room = file.make_room(&self.disk, packed.len()) => room?,
            () = self.shared.memory() => return Ok(None),
        }
        file.append(packed).await.map(Some)
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.shared.end(End::Abandoned);
    }
}

impl Results {
    /// Returns the next results; `None` after the last ones.
    ///
    /// # Errors
    /// When a file cannot be read, or the results were abandoned.
    pub(super) async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            let block = {
                let mut queue = self.0.lock();
                match queue.blocks.pop_front() {
                    None if !queue.tail.is_empty() => {
                        Some(Block::Memory(std::mem::take(&mut queue.tail)))
                    }
                    None => match queue.end {
                        Some(End::Finished) => return None,
                        Some(End::Abandoned) => {
                            return Some(Err(io::Error::other("the results broke off")));
                        }
                        None => None,
                    },
                    block => block,
                }
            };
            match block {
                None => self.0.added.notified().await,
                Some(block) => {
                    self.0.removed.notify_one();
                    return Some(block.read().await.map(Bytes::from));
                }
            }
        }
    }
}

impl Block {
    async fn read(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Memory(bytes) => Ok(bytes),
            Self::Disk(extent) => extent.read().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn line(number: usize) -> String {
        format!("{{\"line\":{number},\"status\":201}}\n")
    }

    /// Pushes lines until they have `bytes`, and returns how many lines that were.
    async fn fill(spool: &mut Spool, bytes: usize) -> usize {
        let mut pushed = 0;
        let mut number = 0;
        while pushed < bytes {
            let line = line(number);
            pushed += line.len();
            spool.push(line.as_bytes()).await;
            number += 1;
        }
        number
    }

    async fn read_lines(results: &mut Results, count: usize) {
        let mut expected: String = (0..count).map(line).collect();
        while !expected.is_empty() {
            let part = results.next().await.unwrap().unwrap();
            let rest = expected.strip_prefix(std::str::from_utf8(&part).unwrap());
            expected = rest.expect("the results in their order").to_owned();
        }
    }

    #[tokio::test]
    async fn results_that_are_not_read_yet_wait_and_keep_their_order() {
        let disk = SpoolDisk::new(1 << 30);
        let (mut spool, mut results) = Spool::new(disk.clone());
        let count = fill(&mut spool, 10 * SPOOL_BLOCK).await;
        let queue_length = results.0.lock().blocks.len();
        assert!(queue_length >= 9, "{queue_length} blocks");
        let free = disk.free();
        assert!(free < 1 << 30, "nothing is on disk");
        let used = (1 << 30) - free;
        assert!(used < 10 * SPOOL_BLOCK / 4, "{used} bytes: not compressed");
        spool.finish();
        read_lines(&mut results, count).await;
        assert!(results.next().await.is_none());
        drop(results);
        assert_eq!(disk.free(), 1 << 30, "the disk is free again");
    }

    #[tokio::test]
    async fn a_result_can_be_read_as_soon_as_it_is_pushed() {
        let (mut spool, mut results) = Spool::new(SpoolDisk::new(0));
        for _ in 0..3 {
            spool.push(b"one\n").await;
            assert_eq!(results.next().await.unwrap().unwrap(), "one\n");
        }
    }

    #[tokio::test]
    async fn a_full_disk_slows_the_writer_down_and_loses_nothing() {
        let (mut spool, mut results) = Spool::new(SpoolDisk::new(1));
        let mut filled = Box::pin(async move {
            let count = fill(&mut spool, 10 * SPOOL_BLOCK).await;
            spool.finish();
            count
        });
        let early = tokio::time::timeout(Duration::from_millis(100), &mut filled).await;
        assert!(early.is_err(), "it did not wait");
        let mut read = 0;
        let reading = async {
            while let Some(part) = results.next().await {
                read += part.unwrap().len();
            }
        };
        let (count, ()) = tokio::join!(filled, reading);
        assert_eq!(
            read,
            (0..count).map(|number| line(number).len()).sum::<usize>()
        );
    }

    #[tokio::test]
    async fn a_file_that_was_read_is_written_again_from_its_start() {
        let disk = SpoolDisk::new(1 << 30);
        let (mut spool, mut results) = Spool::new(disk.clone());
        let mut used = Vec::new();
        for _ in 0..4 {
            let count = fill(&mut spool, 6 * SPOOL_BLOCK).await;
            read_lines(&mut results, count).await;
            used.push((1 << 30) - disk.free());
        }
        assert!(used[0] > 0 && used[3] < 2 * used[0], "{used:?}");
    }

    #[tokio::test]
    async fn abandoned_results_break_the_answer_off() {
        let (mut spool, mut results) = Spool::new(SpoolDisk::new(0));
        spool.push(b"one\n").await;
        drop(spool);
        assert!(results.next().await.unwrap().is_ok());
        assert!(results.next().await.unwrap().is_err());
    }
}
