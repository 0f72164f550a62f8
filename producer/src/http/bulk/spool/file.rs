//! The temporary file of a spool, and the disk space that all spools share.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use metrics::gauge;
use runtime::metrics::BULK_SPOOL_BYTES;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits::SPOOL_BLOCK;

/// The disk space that all spools share. Cheap to clone.
#[derive(Debug, Clone)]
pub(in super::super::super) struct SpoolDisk(Arc<Semaphore>);

impl SpoolDisk {
    /// Returns a disk of this many bytes.
    pub(in super::super::super) fn new(bytes: u64) -> Self {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        Self(Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))))
    }

    /// Waits until this many bytes are free, and takes them.
    async fn reserve(&self, bytes: usize) -> io::Result<OwnedSemaphorePermit> {
        let bytes = u32::try_from(bytes).map_err(io::Error::other)?;
        let reserved = Arc::clone(&self.0).acquire_many_owned(bytes).await;
        reserved.map_err(io::Error::other)
    }

    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.0.available_permits()
    }
}

/// The writer's side of a temporary file.
#[derive(Debug)]
pub(super) struct SpoolFile {
    reserved: Arc<Reserved>,
    /// The offset of the next block.
    end: u64,
    /// How long the file may become with the reserved disk space.
    room: u64,
}

/// A compressed block within a file.
#[derive(Debug)]
pub(super) struct Extent {
    file: Arc<Reserved>,
    offset: u64,
    length: usize,
}

/// A temporary file, and the share of the [`SpoolDisk`] that it takes until it is closed.
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

impl SpoolFile {
    pub(super) async fn new() -> io::Result<Self> {
        // The file is unlinked, so nothing of it remains when the process ends.
        let file = blocking(tempfile::tempfile).await?;
        let disk = Mutex::default();
        Ok(Self {
            reserved: Arc::new(Reserved { file, disk }),
            end: 0,
            room: 0,
        })
    }

    /// Waits until the disk has room for a block of this length.
    pub(super) async fn make_room(&mut self, disk: &SpoolDisk, length: usize) -> io::Result<()> {
        // All blocks of the file were read, so it can be overwritten from its start.
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

    /// Appends a compressed block.
    pub(super) async fn append(&mut self, packed: Vec<u8>) -> io::Result<Extent> {
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
    /// Reads the block and decompresses it.
    pub(super) async fn read(self) -> io::Result<Vec<u8>> {
        blocking(move || {
            let mut packed = vec![0; self.length];
            self.file.file.read_exact_at(&mut packed, self.offset)?;
            let mut block = Vec::with_capacity(SPOOL_BLOCK + SPOOL_BLOCK / 8);
            DeflateDecoder::new(packed.as_slice()).read_to_end(&mut block)?;
            Ok(block)
        })
        .await
    }
}

/// Compresses a block.
pub(super) async fn compress(block: Arc<[u8]>) -> io::Result<Vec<u8>> {
    blocking(move || {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&block)?;
        encoder.finish()
    })
    .await
}

/// Runs blocking work on a separate thread, so that it does not delay other requests.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}
