//! A short run over three brokers, which come and go one at a time. A program of its own: each run
//! has its own folder, named after the process, and the machine to itself.

use std::time::Duration;

use chaos::{Length, Options};

#[tokio::test(flavor = "multi_thread")]
async fn while_brokers_come_and_go_nothing_is_lost_and_the_flow_goes_on() {
    let options = Options {
        length: Length::Faults(4),
        brokers: 3,
        seed: 1,
    };
    let report = chaos::run(&options).await.unwrap();
    assert!(report.holds(), "{report}");
    let flow = report.flow.as_ref().unwrap();
    assert!(flow.orders > 50, "too little load: {report}");
    assert!(
        flow.able > Duration::from_secs(20),
        "the probe proves nothing: {report}"
    );
    assert_eq!(report.faults.values().sum::<u32>(), 4, "{report}");
}
