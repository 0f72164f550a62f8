//! Results that wait for their client to read them.
//!
//! ```text
//! push -> tail -> block -> memory, two blocks at most ----------> next
//!                       -> compressed, temporary file (unlinked) ->
//! ```
//!
//! A client that sends its whole body before it reads (Python's `http.client`, Java's
//! `HttpURLConnection`) makes results wait, and they are up to 80 times as long as the lines: 64 MiB
//! of short lines have some gigabytes of results. So what does not fit into two blocks of memory goes
//! into a temporary file, compressed, because results resemble each other. Memory is bounded by the
//! blocks of the requests, of which there are at most
//! [`BULK_REQUESTS`](super::super::BULK_REQUESTS), and the files of all requests together by a
//! [`Disk`]. When that is full, or there is no file, the body is read no faster than its results.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use metrics::gauge;
use runtime::metrics::BULK_SPOOL_BYTES;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The least that is compressed and written at once, in bytes.
const BLOCK: usize = 256 * 1024;

/// The most blocks that wait in memory.
const BLOCKS_IN_MEMORY: usize = 2;

/// The disk space that all spools share. Cheap to clone.
#[derive(Debug, Clone)]
pub(in super::super) struct Disk(Arc<Semaphore>);

impl Disk {
    /// So many bytes.
    pub(in super::super) fn new(bytes: u64) -> Self {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// Waits until there are so many bytes.
    async fn reserve(&self, bytes: usize) -> io::Result<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes).map_err(io::Error::other)?;
        let reserved = Arc::clone(&self.0).acquire_many_owned(bytes).await;
        reserved.map_err(io::Error::other)
    }
}

/// The end that takes results in. Dropped before [`Spool::finish`], it leaves the answer without its
/// end, so that the client sees that results are missing.
#[derive(Debug)]
pub(super) struct Spool {
    shared: Arc<Shared>,
    disk: Disk,
    file: Option<SpoolFile>,
    /// After a first failure no more is written to disk.
    is_broken: bool,
}

/// The end that gives results out, in the order in which they came.
#[derive(Debug)]
pub(super) struct Results(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Results came, or their end.
    came: Notify,
    /// A block went.
    went: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    blocks: VecDeque<Block>,
    /// What came after the last block.
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

/// A compressed block within a file.
#[derive(Debug)]
struct Extent {
    file: Arc<Reserved>,
    offset: u64,
    length: usize,
}

/// A temporary file, and the share of the [`Disk`] that it takes until it is closed.
#[derive(Debug)]
struct Reserved {
    file: File,
    disk: Mutex<Vec<OwnedSemaphorePermit>>,
}

impl Reserved {
    fn add(&self, share: OwnedSemaphorePermit) {
        gauge!(BULK_SPOOL_BYTES).increment(share.num_permits() as f64);
        self.shares().push(share);
    }

    fn shares(&self) -> MutexGuard<'_, Vec<OwnedSemaphorePermit>> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let bytes: usize = self
            .shares()
            .iter()
            .map(OwnedSemaphorePermit::num_permits)
            .sum();
        gauge!(BULK_SPOOL_BYTES).decrement(bytes as f64);
    }
}

/// A temporary file as its writer sees it.
#[derive(Debug)]
struct SpoolFile {
    reserved: Arc<Reserved>,
    /// Where the next block goes.
    end: u64,
    /// How long the file may become with what is reserved.
    room: u64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, how: End) {
        self.lock().end.get_or_insert(how);
        self.came.notify_one();
    }

    fn has_memory(&self) -> bool {
        self.lock().blocks.len() < BLOCKS_IN_MEMORY
    }

    async fn memory(&self) {
        while !self.has_memory() {
            self.went.notified().await;
        }
    }
}

impl Spool {
    pub(super) fn new(disk: Disk) -> (Self, Results) {
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
            (queue.tail.len() >= BLOCK).then(|| std::mem::take(&mut queue.tail))
        };
        if let Some(block) = full {
            // The tail is empty meanwhile, so nothing overtakes the block.
            let block = self.placed(block).await;
            self.shared.lock().blocks.push_back(block);
        }
        self.shared.came.notify_one();
    }

    /// No more results.
    pub(super) fn finish(self) {
        self.shared.end(End::Finished);
    }

    /// Finds the place where a block waits.
    async fn placed(&mut self, block: Vec<u8>) -> Block {
        if self.shared.has_memory() {
            return Block::Memory(block);
        }
        let block: Arc<[u8]> = block.into();
        if !self.is_broken {
            match self.spilled(Arc::clone(&block)).await {
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

    /// Writes a block to the file, or returns `None` when there is memory for it before there is
    /// disk.
    async fn spilled(&mut self, block: Arc<[u8]>) -> io::Result<Option<Extent>> {
        let packed = blocking(move || compress(&block)).await?;
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
    /// The next results; `None` after the last ones.
    ///
    /// # Errors
    /// When a file can't be read, or results will never come.
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
                None => self.0.came.notified().await,
                Some(block) => {
                    self.0.went.notify_one();
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
            Self::Disk(extent) => blocking(move || extent.read()).await,
        }
    }
}

impl SpoolFile {
    async fn new() -> io::Result<Self> {
        // It has no name, so nothing of it is left when the process ends.
        let file = blocking(tempfile::tempfile).await?;
        let disk = Mutex::default();
        Ok(Self {
            reserved: Arc::new(Reserved { file, disk }),
            end: 0,
            room: 0,
        })
    }

    /// Waits until the disk has room for so many bytes more.
    async fn make_room(&mut self, disk: &Disk, length: usize) -> io::Result<()> {
        // No block is waiting in it any more: it is written again from its start.
        if Arc::strong_count(&self.reserved) == 1 {
            self.end = 0;
        }
        if self.end + length as u64 <= self.room {
            return Ok(());
        }
        self.reserved.add(disk.reserve(length).await?);
        self.room += length as u64;
        Ok(())
    }

    async fn append(&mut self, packed: Vec<u8>) -> io::Result<Extent> {
        let extent = Extent {
            file: Arc::clone(&self.reserved),
            offset: self.end,
            length: packed.len(),
        };
        let extent = blocking(move || {
            extent.file.file.write_all_at(&packed, extent.offset)?;
            Ok(extent)
        })
        .await?;
        self.end += extent.length as u64;
        Ok(extent)
    }
}

impl Extent {
    fn read(&self) -> io::Result<Vec<u8>> {
        let mut packed = vec![0; self.length];
        self.file.file.read_exact_at(&mut packed, self.offset)?;
        let mut block = Vec::with_capacity(BLOCK + BLOCK / 8);
        DeflateDecoder::new(packed.as_slice()).read_to_end(&mut block)?;
        Ok(block)
    }
}

fn compress(block: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(block)?;
    encoder.finish()
}

/// Runs what would hold up other requests, on a thread for that.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn line(number: usize) -> String {
        format!("{{\"line\":{number},\"status\":201}}\n")
    }

    /// Pushes lines until `bytes` of them are in, and says how many that were.
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
    async fn results_that_nobody_reads_yet_wait_and_keep_their_order() {
        let disk = Disk::new(1 << 30);
        let (mut spool, mut results) = Spool::new(disk.clone());
        let count = fill(&mut spool, 10 * BLOCK).await;
        let queue_length = results.0.lock().blocks.len();
        assert!(queue_length >= 9, "{queue_length} blocks");
        let free = disk.0.available_permits();
        assert!(free < 1 << 30, "nothing is on disk");
        let used = (1 << 30) - free;
        assert!(used < 10 * BLOCK / 4, "{used} bytes: not compressed");
        spool.finish();
        read_lines(&mut results, count).await;
        assert!(results.next().await.is_none());
        drop(results);
        assert_eq!(disk.0.available_permits(), 1 << 30, "it is given back");
    }

    #[tokio::test]
    async fn a_result_is_given_out_as_soon_as_it_is_there() {
        let (mut spool, mut results) = Spool::new(Disk::new(0));
        for _ in 0..3 {
            spool.push(b"one\n").await;
            assert_eq!(results.next().await.unwrap().unwrap(), "one\n");
        }
    }

    #[tokio::test]
    async fn a_disk_without_room_slows_the_writer_down_and_loses_nothing() {
        let (mut spool, mut results) = Spool::new(Disk::new(1));
        let mut filled = Box::pin(async move {
            let count = fill(&mut spool, 10 * BLOCK).await;
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
        let disk = Disk::new(1 << 30);
        let (mut spool, mut results) = Spool::new(disk.clone());
        let mut used = Vec::new();
        for _ in 0..4 {
            let count = fill(&mut spool, 6 * BLOCK).await;
            read_lines(&mut results, count).await;
            used.push((1 << 30) - disk.0.available_permits());
        }
        assert!(used[0] > 0 && used[3] < 2 * used[0], "{used:?}");
    }

    #[tokio::test]
    async fn results_that_never_come_are_no_good_end() {
        let (mut spool, mut results) = Spool::new(Disk::new(0));
        spool.push(b"one\n").await;
        drop(spool);
        assert!(results.next().await.unwrap().is_ok());
        assert!(results.next().await.unwrap().is_err());
    }
}
