//! A short run over the real services.

use chaos::{Length, Options};

#[tokio::test(flavor = "multi_thread")]
async fn a_dozen_faults_lose_nothing_and_repeat_nothing() {
    let options = Options {
        length: Length::Faults(12),
        brokers: 1,
        seed: 1,
    };
    let report = chaos::run(&options).await.unwrap();
    assert!(report.holds(), "{report}");
    assert!(report.verdict.eligible > 50, "too little load: {report}");
    assert!(report.verdict.dead_letters_found > 0, "{report}");
    assert_eq!(report.faults.values().sum::<u32>(), 12, "{report}");
}
