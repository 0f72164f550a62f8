//! Counts the distinct eligible orders of a range. A bounded number is kept in memory, the others
//! in sorted runs on disk, so that a replay of years needs no more memory than one of a day.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use sha2::{Digest as _, Sha256};

/// The maximum number of orders in memory: the capacity of a hash table of 2^20 buckets, 18 MiB.
const MAX_IN_MEMORY: usize = 7 << 17;

/// The maximum number of runs on disk. Each new order is searched in all of them, so more are merged into one.
const MAX_RUNS: usize = 8;

/// Entries per block of a run. The first of each block is kept in memory; one read brings the
/// others.
const BLOCK: usize = 256;

/// An order: the first 16 bytes of its id's SHA-256, which makes collisions negligible.
type Digest = [u8; 16];

/// An order, and a bit for each rule by which it is eligible.
type Entry = (Digest, u8);

/// The size of an entry in a run, in bytes.
const ENTRY: usize = size_of::<Digest>() + 1;

/// By which rule an order is eligible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum By {
    /// The rule of the preview.
    Asked = 1,
    /// The rule that the environment sets.
    Current = 2,
}

/// How many distinct orders are eligible.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OrderCounts {
    /// By the rule of the preview.
    pub asked: u64,
    /// By the rule that the environment sets.
    pub current: u64,
    /// By the rule of the preview only.
    pub gained: u64,
    /// By the rule that the environment sets only.
    pub lost: u64,
}

/// The distinct eligible orders.
#[derive(Debug)]
pub struct Orders {
    recent: HashMap<Digest, u8>,
    max_in_memory: usize,
    runs: Vec<SortedRun>,
}

impl Default for Orders {
    fn default() -> Self {
        Self::holding(MAX_IN_MEMORY)
    }
}

impl Orders {
    /// Keeps at most `max_in_memory` orders in memory. Others go to unnamed files in the system's
    /// temporary directory (`TMPDIR`), which are removed when the process ends.
    pub fn holding(max_in_memory: usize) -> Self {
        Self {
            recent: HashMap::new(),
            max_in_memory,
            runs: Vec::new(),
        }
    }

    /// Notes an eligible order. Returns whether it was not eligible by this rule before.
    ///
    /// # Errors
    /// When the temporary directory cannot be written to.
    pub fn is_new(&mut self, order_id: &str, by: By) -> io::Result<bool> {
        let mut digest = [0; size_of::<Digest>()];
        digest.copy_from_slice(&Sha256::digest(order_id.as_bytes())[..size_of::<Digest>()]);
        let bit = by as u8;
        if self.recent.get(&digest).is_some_and(|bits| bits & bit > 0) {
            return Ok(false);
        }
        for run in &self.runs {
            if run.bits(&digest)? & bit > 0 {
                return Ok(false);
            }
        }
        if self.recent.len() >= self.max_in_memory {
            self.spill()?;
        }
        *self.recent.entry(digest).or_default() |= bit;
        Ok(true)
    }

    /// Counts the orders.
    ///
    /// # Errors
    /// When the temporary files cannot be read.
    pub fn counts(mut self) -> io::Result<OrderCounts> {
        let mut counts = OrderCounts::default();
        let recent = sorted(&mut self.recent);
        merge(&mut self.runs, recent, |(_, bits)| {
            let (asked, current) = (bits & By::Asked as u8 > 0, bits & By::Current as u8 > 0);
            counts.asked += u64::from(asked);
            counts.current += u64::from(current);
            counts.gained += u64::from(asked && !current);
            counts.lost += u64::from(current && !asked);
            Ok(())
        })?;
        Ok(counts)
    }

    /// Moves the orders in memory to a run on disk.
    fn spill(&mut self) -> io::Result<()> {
        let mut out = RunWriter::new()?;
        let recent = sorted(&mut self.recent);
        if self.runs.len() < MAX_RUNS {
            recent.into_iter().try_for_each(|entry| out.push(entry))?;
        } else {
            merge(&mut self.runs, recent, |entry| out.push(entry))?;
            self.runs.clear();
        }
        self.runs.push(out.finish()?);
        Ok(())
    }
}

fn sorted(recent: &mut HashMap<Digest, u8>) -> Vec<Entry> {
    let mut entries: Vec<_> = recent.drain().collect();
    entries.sort_unstable();
    entries
}

/// Calls `take` with each order of all runs and of `recent` once, in order.
fn merge(
    runs: &mut [SortedRun],
    recent: Vec<Entry>,
    mut take: impl FnMut(Entry) -> io::Result<()>,
) -> io::Result<()> {
    type Entries<'r> = Box<dyn Iterator<Item = io::Result<Entry>> + 'r>;
    let mut sources: Vec<Entries<'_>> = vec![Box::new(recent.into_iter().map(Ok))];
    for run in runs {
        sources.push(Box::new(run.entries()?));
    }
    let mut next_of_each = BinaryHeap::new();
    for (number, source) in sources.iter_mut().enumerate() {
        next_of_each.extend(
            source
                .next()
                .transpose()?
                .map(|next| Reverse((next, number))),
        );
    }
    let mut last: Option<Entry> = None;
    while let Some(Reverse(((digest, bits), number))) = next_of_each.pop() {
        let next = sources[number].next().transpose()?;
        next_of_each.extend(next.map(|next| Reverse((next, number))));
        match &mut last {
            Some((same, all)) if *same == digest => *all |= bits,
            _ => {
                if let Some(done) = last.replace((digest, bits)) {
                    take(done)?;
                }
            }
        }
    }
    last.map_or(Ok(()), take)
}

/// Orders on disk, sorted by digest.
#[derive(Debug)]
struct SortedRun {
    file: File,
    entries: usize,
    /// The first order of each block.
    firsts: Vec<Digest>,
}

impl SortedRun {
    /// Returns the bits of an order; 0 when it is not in this run.
    fn bits(&self, digest: &Digest) -> io::Result<u8> {
        let Some(block) = self
            .firsts
            .partition_point(|first| first <= digest)
            .checked_sub(1)
        else {
            return Ok(0);
        };
        let from = block * BLOCK;
        let mut bytes = [0; BLOCK * ENTRY];
        let bytes = &mut bytes[..(self.entries - from).min(BLOCK) * ENTRY];
        self.file.read_exact_at(bytes, (from * ENTRY) as u64)?;
        let (entries, _) = bytes.as_chunks::<ENTRY>();
        let found = entries.binary_search_by(|entry| entry[..ENTRY - 1].cmp(digest));
        Ok(found.map_or(0, |at| entries[at][ENTRY - 1]))
    }

    fn entries(&mut self) -> io::Result<impl Iterator<Item = io::Result<Entry>>> {
        self.file.seek(SeekFrom::Start(0))?;
        let mut file = BufReader::new(&self.file);
        Ok((0..self.entries).map(move |_| {
            let (mut digest, mut bits) = ([0; size_of::<Digest>()], [0]);
            file.read_exact(&mut digest)?;
            file.read_exact(&mut bits)?;
            Ok((digest, bits[0]))
        }))
    }
}

struct RunWriter {
    file: BufWriter<File>,
    entries: usize,
    firsts: Vec<Digest>,
}

impl RunWriter {
    fn new() -> io::Result<Self> {
        Ok(Self {
            file: BufWriter::new(tempfile::tempfile()?),
            entries: 0,
            firsts: Vec::new(),
        })
    }

    fn push(&mut self, (digest, bits): Entry) -> io::Result<()> {
        if self.entries.is_multiple_of(BLOCK) {
            self.firsts.push(digest);
        }
        self.entries += 1;
        self.file.write_all(&digest)?;
        self.file.write_all(&[bits])
    }

    fn finish(self) -> io::Result<SortedRun> {
        Ok(SortedRun {
            file: self.file.into_inner()?,
            entries: self.entries,
            firsts: self.firsts,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::collections::{HashMap, HashSet};

    use proptest::prelude::*;

    proptest! {
        #[test]
        fn orders_on_disk_count_as_those_in_memory(
            seen in prop::collection::vec((0_u16..600, any::<bool>()), 0..2_000),
            max_in_memory in 1_usize..40,
        ) {
            let mut orders = Orders::holding(max_in_memory);
            let mut expected: HashMap<u16, HashSet<bool>> = HashMap::new();
            for (id, is_asked) in seen {
                let by = if is_asked { By::Asked } else { By::Current };
                let is_new = expected.entry(id).or_default().insert(is_asked);
                prop_assert_eq!(orders.is_new(&id.to_string(), by).unwrap(), is_new);
                prop_assert!(orders.recent.len() <= max_in_memory);
                prop_assert!(orders.runs.len() <= MAX_RUNS);
            }
            let count = |which: &dyn Fn(bool, bool) -> bool| {
                let bits = expected.values().map(|by| (by.contains(&true), by.contains(&false)));
                bits.filter(|(asked, current)| which(*asked, *current)).count() as u64
            };
            prop_assert_eq!(
                orders.counts().unwrap(),
                OrderCounts {
                    asked: count(&|asked, _| asked),
                    current: count(&|_, current| current),
                    gained: count(&|asked, current| asked && !current),
                    lost: count(&|asked, current| !asked && current),
                }
            );
        }
    }

    #[test]
    fn every_order_of_a_run_of_many_blocks_is_found() {
        let mut orders = Orders::holding(3 * BLOCK + 1);
        for round in [true, false] {
            for id in 0..10 * BLOCK {
                assert_eq!(orders.is_new(&id.to_string(), By::Asked).unwrap(), round);
            }
        }
        assert_eq!(orders.counts().unwrap().asked, 10 * BLOCK as u64);
    }
}
