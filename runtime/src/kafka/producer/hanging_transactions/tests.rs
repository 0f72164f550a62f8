//! The search against a model of the cluster.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::*;

const SLICE: Duration = Duration::from_millis(500);

/// The id of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Id {
    /// One of the ids that are taken over.
    Ours(usize),
    Sibling,
}

/// A cluster with four partitions of the source, and one partition of a written topic.
#[derive(Default)]
struct Model {
    committed: RefCell<Positions>,
    /// Whose transaction holds back the offset of a partition of the source.
    held_back: RefCell<BTreeMap<Partition, Id>>,
    /// Whose records are open in the written topic.
    open: RefCell<Option<Id>>,
    is_away: RefCell<bool>,
    /// The ids that aborted a transaction with an offset and nothing else.
    offsets_aborted: RefCell<Vec<usize>>,
    /// The ids that aborted a transaction with records.
    records_aborted: RefCell<Vec<usize>>,
}

impl Model {
    fn new(held_back: &[(Partition, Id)], open: Option<Id>) -> Self {
        Self {
            committed: RefCell::new((0..4).map(|partition| (partition, 7)).collect()),
            held_back: RefCell::new(held_back.iter().copied().collect()),
            open: RefCell::new(open),
            ..Self::default()
        }
    }

    fn aborters(&self) -> [ModelAborter<'_>; 2] {
        [0, 1].map(|id| ModelAborter { model: self, id })
    }

    fn step(&self, search: &mut Search) -> Result<(), TransactionError> {
        search.step(self, &self.aborters(), SLICE)
    }

    fn records_aborted(&self) -> Vec<usize> {
        self.records_aborted.borrow().clone()
    }
}

impl ClusterView for Model {
    fn committed(
        &self,
        partitions: Option<&[Partition]>,
        _: Duration,
    ) -> Result<Positions, TransactionError> {
        if *self.is_away.borrow() {
            return Err(TransactionError::Retriable("away".to_owned()));
        }
        let mut offsets = self.committed.borrow().clone();
        offsets.retain(|partition, _| partitions.is_none_or(|asked| asked.contains(partition)));
        Ok(offsets)
    }

    fn held_back(
        &self,
        partitions: &[Partition],
        _: Duration,
    ) -> Result<Vec<Partition>, TransactionError> {
        let held_back = self.held_back.borrow();
        let asked = partitions.iter().copied();
        Ok(asked
            .filter(|partition| held_back.contains_key(partition))
            .collect())
    }

    fn open_partitions(&self, _: Duration) -> Result<Vec<OpenPartition>, TransactionError> {
        let open = self.open.borrow().map(|_| OpenPartition {
            topic: "vouchers".to_owned(),
            partition: 0,
            stable: 3,
        });
        Ok(open.into_iter().collect())
    }
}

struct ModelAborter<'a> {
    model: &'a Model,
    id: usize,
}

impl Aborter for ModelAborter<'_> {
    fn abort(
        &self,
        _: (Partition, Offset),
        open: &[OpenPartition],
        _: Duration,
    ) -> Result<(), TransactionError> {
        let ours = Id::Ours(self.id);
        let mut held_back = self.model.held_back.borrow_mut();
        held_back.retain(|_, id| *id != ours);
        if open.is_empty() {
            self.model.offsets_aborted.borrow_mut().push(self.id);
        } else {
            self.model.records_aborted.borrow_mut().push(self.id);
            self.model.open.borrow_mut().take_if(|id| *id == ours);
        }
        Ok(())
    }
}

/// Returns a search whose suspects have been held back for longer than a sibling's transaction takes.
fn late_search(model: &Model) -> Search {
    let mut search = Search::default();
    assert!(matches!(
        model.step(&mut search),
        Err(TransactionError::Retriable(_))
    ));
    search.since = search
        .since
        .and_then(|since| since.checked_sub(SUSPECT_AFTER));
    search
}

#[test]
fn a_start_where_nothing_is_held_back_writes_nothing() {
    let model = Model::new(&[], Some(Id::Ours(0)));
    model.step(&mut Search::default()).unwrap();
    assert!(model.records_aborted().is_empty());
    assert!(model.offsets_aborted.borrow().is_empty());
}

#[test]
fn an_error_does_not_count_as_a_held_back_offset() {
    let model = Model::new(&[], None);
    *model.is_away.borrow_mut() = true;
    let mut search = Search::default();
    let error = model.step(&mut search).unwrap_err();
    assert!(matches!(error, TransactionError::Retriable(_)), "{error}");
    assert!(search.since.is_none());
}

#[test]
fn a_sibling_that_moves_on_is_waited_for_and_nothing_is_written() {
    let model = Model::new(&[(1, Id::Sibling), (2, Id::Sibling)], None);
    let mut search = late_search(&model);
    // One is committed, and the next transaction is open; the other has ended.
    model.committed.borrow_mut().insert(1, 8);
    model.held_back.borrow_mut().remove(&2);
    model.step(&mut search).unwrap();
    assert!(model.records_aborted().is_empty());
    assert!(model.offsets_aborted.borrow().is_empty());
}

/// Our open records are vouchers whose commit lost its marker on this topic only: their offsets were
/// committed.
#[test]
fn a_sibling_that_hangs_costs_no_committed_voucher_of_ours() {
    let model = Model::new(&[(1, Id::Sibling)], Some(Id::Ours(0)));
    let mut search = late_search(&model);
    model.step(&mut search).unwrap();
    assert!(model.records_aborted().is_empty());
    assert_eq!(*model.open.borrow(), Some(Id::Ours(0)));
    assert_eq!(*model.offsets_aborted.borrow(), [0, 1]);
}

#[test]
fn what_one_of_our_ids_left_hanging_is_aborted_by_that_id_beside_a_busy_sibling() {
    let model = Model::new(&[(0, Id::Ours(1)), (3, Id::Sibling)], Some(Id::Ours(1)));
    let mut search = late_search(&model);
    model.step(&mut search).unwrap();
    assert_eq!(model.records_aborted(), [1]);
    assert_eq!(*model.open.borrow(), None);
    let held_back = model.held_back.borrow();
    assert_eq!(held_back.keys().collect::<Vec<_>>(), [&3]);
}
