//! The distinct orders that a range makes eligible: few are held in memory, many in sorted runs on
//! disk, so that a replay of years needs no more memory than one of a day.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;

use sha2::{Digest as _, Sha256};

/// As many as a table of 2^20 places takes: 18 MiB.
const MAX_IN_MEMORY: usize = 7 << 17;

/// A new order is looked for in each run: so many are merged into one.
const MAX_RUNS: usize = 8;

/// Of so many entries of a run the first is kept in memory; one read brings them all.
const BLOCK: usize = 256;

/// An order: 16 bytes of its id's SHA-256, so that two of them never are one.
type Digest = [u8; 16];

/// An order and by which rules it is eligible, a bit each.
type Entry = (Digest, u8);

/// An entry's bytes in a run.
const ENTRY: usize = size_of::<Digest>() + 1;

/// By which rule an order is eligible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum By {
    /// The rule that was asked about.
    Asked = 1,
    /// Today's.
    Today = 2,
}

/// How many distinct orders are eligible.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// By the rule that was asked about.
    pub asked: u64,
    /// By today's.
    pub today: u64,
    /// By the rule that was asked about and not by today's.
    pub gained: u64,
    /// By today's and not by the rule that was asked about.
    pub lost: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Orders {
    recent: HashMap<Digest, u8>,
    most_in_memory: usize,
    runs: Vec<Run>,
}

impl Default for Orders {
    fn default() -> Self {
        Self::holding(MAX_IN_MEMORY)
    }
}

impl Orders {
    /// Holds so many orders in memory; those beyond go to files of the system's temporary directory
    /// (`TMPDIR`), which have no name and are gone with the process.
    pub fn holding(most_in_memory: usize) -> Self {
        Self {
            recent: HashMap::new(),
            most_in_memory,
            runs: Vec::new(),
        }
    }

    /// Takes note; says whether the order was not eligible by this rule before.
    ///
    /// # Errors
    /// When the temporary directory can't be written to.
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
        if self.recent.len() >= self.most_in_memory {
            self.spill()?;
        }
        *self.recent.entry(digest).or_default() |= bit;
        Ok(true)
    }

    /// How many there are.
    ///
    /// # Errors
    /// When the temporary files can't be read.
    pub fn counts(mut self) -> io::Result<Counts> {
        let mut counts = Counts::default();
        let recent = sorted(&mut self.recent);
        merge(&mut self.runs, recent, |(_, bits)| {
            let (asked, today) = (bits & By::Asked as u8 > 0, bits & By::Today as u8 > 0);
            counts.asked += u64::from(asked);
            counts.today += u64::from(today);
            counts.gained += u64::from(asked && !today);
            counts.lost += u64::from(today && !asked);
            Ok(())
        })?;
        Ok(counts)
    }

    /// Makes room in memory.
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

/// Hands out each order of all runs and of `recent` once, in order.
fn merge(
    runs: &mut [Run],
    recent: Vec<Entry>,
    mut take: impl FnMut(Entry) -> io::Result<()>,
) -> io::Result<()> {
    type Source<'r> = Box<dyn Iterator<Item = io::Result<Entry>> + 'r>;
    let mut sources: Vec<Source<'_>> = vec![Box::new(recent.into_iter().map(Ok))];
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

/// Orders on disk, by digest.
#[derive(Debug)]
struct Run {
    file: File,
    entries: usize,
    /// The first order of each block.
    firsts: Vec<Digest>,
}

impl Run {
    /// By which rules an order is eligible as far as this run tells.
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

    fn finish(self) -> io::Result<Run> {
        Ok(Run {
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
        fn what_is_on_disk_counts_as_what_is_in_memory(
            seen in prop::collection::vec((0_u16..600, any::<bool>()), 0..2_000),
            most_in_memory in 1_usize..40,
        ) {
            let mut orders = Orders::holding(most_in_memory);
            let mut expected: HashMap<u16, HashSet<bool>> = HashMap::new();
            for (id, is_asked) in seen {
                let by = if is_asked { By::Asked } else { By::Today };
                let is_new = expected.entry(id).or_default().insert(is_asked);
                prop_assert_eq!(orders.is_new(&id.to_string(), by).unwrap(), is_new);
                prop_assert!(orders.recent.len() <= most_in_memory);
                prop_assert!(orders.runs.len() <= MAX_RUNS);
            }
            let count = |which: &dyn Fn(bool, bool) -> bool| {
                let bits = expected.values().map(|by| (by.contains(&true), by.contains(&false)));
                bits.filter(|(asked, today)| which(*asked, *today)).count() as u64
            };
            prop_assert_eq!(
                orders.counts().unwrap(),
                Counts {
                    asked: count(&|asked, _| asked),
                    today: count(&|_, today| today),
                    gained: count(&|asked, today| asked && !today),
                    lost: count(&|asked, today| !asked && today),
                }
            );
        }
    }

    #[test]
    fn a_run_of_many_blocks_is_found_in_whole() {
        let mut orders = Orders::holding(3 * BLOCK + 1);
        for round in [true, false] {
            for id in 0..10 * BLOCK {
                assert_eq!(orders.is_new(&id.to_string(), By::Asked).unwrap(), round);
            }
        }
        assert_eq!(orders.counts().unwrap().asked, 10 * BLOCK as u64);
    }
}
