//! Rows that fail without a clear cause (`WriteError::Ambiguous`), and dead letters that the broker
//! refuses.

use std::time::Duration;

use runtime::dead_letter;

use super::model::{Run, World, record, voucher};
use super::{many, reasons};
use crate::ports::WriteError;

#[test]
fn a_row_that_fails_while_others_pass_is_set_aside_and_its_neighbours_are_rows() {
    let mut records = many(64);
    records[40] = voucher(0, "40", "secret-code", 17);
    let world = Run::new(World::new(records)).finish();
    assert_eq!(world.rows.len(), 63);
    assert_eq!(reasons(&world), ["rejected_by_database"]);
    assert!(world.statements.len() <= 16, "{:?}", world.statements);
    let message = world.dead_letters[0].header(dead_letter::MESSAGE);
    assert!(message.contains("the trigger has no time"), "{message}");
    assert!(!message.contains("secret-code"), "{message}");
    assert_eq!(world.blocked, None);
}

#[test]
fn a_table_that_takes_no_row_is_waited_for() {
    let records = (0..64).map(|n| voucher(0, &format!("{n}"), &format!("{n}"), 17));
    let mut run = Run::new(World::new(records.collect()));
    run.until("a minute", |world| world.now > Duration::from_secs(60));
    let world = run.world();
    assert!(world.blocked.is_some(), "not ready");
    assert_eq!((world.commits, world.dead_letters.len()), (0, 0));
    assert!(world.statements.len() < 200, "{}", world.statements.len());
}

#[test]
fn a_database_in_which_every_statement_times_out_makes_no_dead_letter() {
    let mut world = World::new(many(10));
    world.database = Some(WriteError::Ambiguous {
        why: "canceling statement due to statement timeout".to_owned(),
        others_pass: false,
    });
    let mut run = Run::new(world);
    run.until("a minute", |world| world.now > Duration::from_secs(60));
    {
        let mut world = run.world();
        assert!(world.blocked.is_some(), "not ready");
        assert_eq!((world.commits, world.dead_letters.len()), (0, 0));
        assert!(world.statements.len() < 60, "with longer and longer pauses");
        world.database = None;
    }
    let world = run.finish();
    assert_eq!((world.rows.len(), world.dead_letters.len()), (10, 0));
    assert_eq!(world.blocked, None, "ready again");
}

#[test]
fn a_dead_letter_that_does_not_fit_leaves_out_its_value() {
    let large = record(0, "1", Some(&[0xff; 20_000]));
    let small = record(0, "2", Some(b"junk"));
    let mut world = World::new(vec![large, small, voucher(0, "3", "c", 5)]);
    world.max_dead_letter_bytes = Some(18_000);
    let world = Run::new(world).finish();
    assert_eq!((world.rows.len(), world.dead_letters.len()), (1, 2));
    assert_eq!(world.reduced, 1);
    let values: Vec<_> = world
        .dead_letters
        .iter()
        .map(|dead_letter| &dead_letter.value)
        .collect();
    assert_eq!(values, [&Some(b"junk".to_vec()), &Some(Vec::new())]);
    let dead_letter = &world.dead_letters[1];
    assert_eq!(dead_letter.header(dead_letter::OMITTED), "value");
    assert_eq!(dead_letter.header(dead_letter::ORIGINAL_BYTES), "20000");
    assert_eq!(dead_letter.header(dead_letter::OFFSET), "0");
    assert_eq!(world.blocked, None);
}

#[test]
fn a_dead_letter_that_is_refused_again_and_again_waits_longer_and_the_others_are_written_once() {
    let junk = |order| record(0, order, Some(b"junk"));
    let mut world = World::new(vec![junk("1"), junk("2"), junk("3")]);
    world.refused_dead_letters = 10;
    let mut run = Run::new(world);
    run.until("five refusals", |world| world.blocked_at.len() == 5);
    {
        let world = run.world();
        let blocked = world.blocked.clone().unwrap();
        assert!(blocked.contains("vouchers/0/0"), "{blocked}");
        assert_eq!((world.commits, world.dead_letters.len()), (0, 2));
    }
    let world = run.finish();
    assert_eq!(world.dead_letters.len(), 3, "each once");
    assert_eq!(world.blocked, None, "ready again");
    let pauses: Vec<_> = world
        .blocked_at
        .windows(2)
        .map(|at| at[1] - at[0])
        .collect();
    assert!(pauses[8] >= Duration::from_secs(15), "{pauses:?}");
}
