//! Dead letters that the broker refuses.

use std::time::Duration;

use runtime::dead_letter;

use super::model::{Run, World, record, voucher};

#[test]
fn a_dead_letter_that_does_not_fit_leaves_out_its_value() {
    let large = record(0, "1", Some(&[0xff; 20_000]));
    let small = record(0, "2", Some(b"junk"));
    let mut world = World::new(vec![large, small, voucher(0, "3", "c", 5)]);
    world.max_letter_bytes = Some(18_000);
    let world = Run::new(world).finish();
    assert_eq!((world.rows.len(), world.letters.len()), (1, 2));
    assert_eq!(world.reduced, 1);
    let values: Vec<_> = world.letters.iter().map(|letter| &letter.value).collect();
    assert_eq!(values, [&Some(b"junk".to_vec()), &Some(Vec::new())]);
    let letter = &world.letters[1];
    assert_eq!(letter.header(dead_letter::OMITTED), "value");
    assert_eq!(letter.header(dead_letter::ORIGINAL_BYTES), "20000");
    assert_eq!(letter.header(dead_letter::OFFSET), "0");
    assert_eq!(world.standing, None);
}

#[test]
fn a_dead_letter_that_is_refused_again_and_again_waits_longer_and_the_others_are_written_once() {
    let junk = |order| record(0, order, Some(b"junk"));
    let mut world = World::new(vec![junk("1"), junk("2"), junk("3")]);
    world.refused_letters = 10;
    let mut run = Run::new(world);
    run.until("five refusals", |world| world.blocked_at.len() == 5);
    {
        let world = run.world();
        let standing = world.standing.clone().unwrap();
        assert!(standing.contains("vouchers/0/0"), "{standing}");
        assert_eq!((world.commits, world.letters.len()), (0, 2));
    }
    let world = run.finish();
    assert_eq!(world.letters.len(), 3, "each once");
    assert_eq!(world.standing, None, "ready again");
    let pauses: Vec<_> = world
        .blocked_at
        .windows(2)
        .map(|at| at[1] - at[0])
        .collect();
    assert!(pauses[8] >= Duration::from_secs(15), "{pauses:?}");
}
