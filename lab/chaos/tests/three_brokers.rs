//! A short run over three brokers, which fail one at a time. It is a program of its own because the
//! folder of a run is named after the process, and because it needs the machine alone.

use std::time::Duration;

use chaos::{Length, Options};

#[tokio::test(flavor = "multi_thread")]
async fn while_brokers_fail_nothing_is_lost_and_the_flow_continues() {
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
        flow.available > Duration::from_secs(20),
        "the probe proves nothing: {report}"
    );
    assert_eq!(report.faults.values().sum::<u32>(), 4, "{report}");
}
