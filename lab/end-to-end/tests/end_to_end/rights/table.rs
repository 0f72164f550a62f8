//! The rights of each command, as docs/access-rights.md lists them.

/// A command, and the rights that it needs.
#[derive(Debug)]
pub(super) struct Granted {
    /// The Kafka user that runs it, which has these rights and no others.
    pub(super) user: &'static str,
    pub(super) service: &'static str,
    pub(super) arguments: &'static [&'static str],
    pub(super) rights: &'static [Right],
}

/// An operation on resources. In Kafka, Read and Write imply Describe.
pub(super) type Right = (Operation, &'static [Resource]);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Read,
    Write,
    Describe,
    DescribeConfigs,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Resource {
    OrderStatus,
    OrderStatusDlq,
    OrderStatusStates,
    Vouchers,
    VouchersDlq,
    VouchersStates,
    /// The topic of audit records. A command with rights on it keeps an audit.
    Audit,
    ProcessorGroup,
    SinkGroup,
    /// Groups that begin with `processor/backfill/`.
    BackfillGroups,
    /// Transactional ids that begin with this.
    Transactions(&'static str),
    Cluster,
}

use Operation::{Describe, DescribeConfigs, Read, Write};
use Resource::{
    Audit, BackfillGroups, Cluster, OrderStatus, OrderStatusDlq, OrderStatusStates, ProcessorGroup,
    SinkGroup, Transactions, Vouchers, VouchersDlq, VouchersStates,
};

const REDRIVE: &[&str] = &["redrive", "--by=ana", "--why=a test"];

/// `--note` serves as the reason, so `--why` is not needed.
const DISCARD: &[&str] = &[
    "dead-letters",
    "discard",
    "--every",
    "--note=a test",
    "--by=ana",
];

/// The table of docs/access-rights.md without `run`, which `access.rs` covers.
pub(super) const COMMANDS: &[Granted] = &[
    Granted {
        user: "producer-check",
        service: "producer",
        arguments: &["check"],
        rights: &[
            (Describe, &[OrderStatus]),
            (DescribeConfigs, &[OrderStatus, Cluster]),
        ],
    },
    Granted {
        user: "processor-check",
        service: "processor",
        arguments: &["check"],
        rights: &[
            (
                Describe,
                &[
                    OrderStatusDlq,
                    OrderStatusStates,
                    VouchersDlq,
                    VouchersStates,
                    Audit,
                    ProcessorGroup,
                ],
            ),
            (
                DescribeConfigs,
                &[
                    OrderStatus,
                    OrderStatusDlq,
                    OrderStatusStates,
                    Vouchers,
                    VouchersDlq,
                    VouchersStates,
                    Audit,
                    Cluster,
                ],
            ),
            (Read, &[OrderStatus, Vouchers]),
        ],
    },
    Granted {
        user: "processor-preview",
        service: "processor",
        arguments: &["backfill", "--dry-run"],
        rights: &[
            (Read, &[OrderStatus, Vouchers]),
            (Describe, &[ProcessorGroup, SinkGroup]),
        ],
    },
    Granted {
        user: "processor-backfill",
        service: "processor",
        arguments: &[
            "backfill",
            "--name",
            "rights",
            "--dead-letters",
            "--by=ana",
            "--why=a test",
        ],
        rights: &[
            (Read, &[OrderStatus, Vouchers, BackfillGroups]),
            (Describe, &[ProcessorGroup, SinkGroup]),
            (
                Write,
                &[Vouchers, OrderStatusDlq, Audit, Transactions("processor/")],
            ),
        ],
    },
    Granted {
        user: "processor-dead-letters",
        service: "processor",
        arguments: &["dead-letters"],
        rights: &[(Read, &[OrderStatusDlq, OrderStatusStates])],
    },
    Granted {
        user: "processor-redrive",
        service: "processor",
        arguments: REDRIVE,
        rights: &[
            (Read, &[OrderStatusDlq, OrderStatusStates, Vouchers]),
            (
                Write,
                &[
                    OrderStatusStates,
                    Vouchers,
                    Audit,
                    Transactions("processor/redrive"),
                ],
            ),
        ],
    },
    Granted {
        user: "processor-discard",
        service: "processor",
        arguments: DISCARD,
        rights: &[
            (Read, &[OrderStatusDlq, OrderStatusStates]),
            (
                Write,
                &[OrderStatusStates, Audit, Transactions("processor/redrive")],
            ),
        ],
    },
    Granted {
        user: "processor-explain",
        service: "processor",
        arguments: &["explain", "17"],
        rights: &[(
            Read,
            &[
                OrderStatus,
                OrderStatusDlq,
                OrderStatusStates,
                Vouchers,
                VouchersDlq,
                VouchersStates,
            ],
        )],
    },
    Granted {
        user: "processor-reveal",
        service: "processor",
        arguments: &["explain", "17", "--reveal", "--by=ana", "--why=a test"],
        rights: &[
            (
                Read,
                &[
                    OrderStatus,
                    OrderStatusDlq,
                    OrderStatusStates,
                    Vouchers,
                    VouchersDlq,
                    VouchersStates,
                ],
            ),
            (Write, &[Audit]),
        ],
    },
    Granted {
        user: "sink-check",
        service: "sink",
        arguments: &["check"],
        rights: &[
            (Describe, &[VouchersDlq, VouchersStates, Audit, SinkGroup]),
            (
                DescribeConfigs,
                &[Vouchers, VouchersDlq, VouchersStates, Audit, Cluster],
            ),
            (Read, &[Vouchers]),
        ],
    },
    Granted {
        user: "sink-backfill",
        service: "sink",
        arguments: &["backfill", "--dead-letters", "--by=ana", "--why=a test"],
        rights: &[
            (Read, &[Vouchers]),
            (Describe, &[SinkGroup]),
            (Write, &[VouchersDlq, Audit]),
        ],
    },
    Granted {
        user: "sink-dead-letters",
        service: "sink",
        arguments: &["dead-letters"],
        rights: &[(Read, &[VouchersDlq, VouchersStates])],
    },
    Granted {
        user: "sink-redrive",
        service: "sink",
        arguments: REDRIVE,
        rights: &[
            (Read, &[VouchersDlq, VouchersStates]),
            (
                Write,
                &[VouchersStates, Audit, Transactions("sink/redrive")],
            ),
        ],
    },
    Granted {
        user: "sink-discard",
        service: "sink",
        arguments: DISCARD,
        rights: &[
            (Read, &[VouchersDlq, VouchersStates]),
            (
                Write,
                &[VouchersStates, Audit, Transactions("sink/redrive")],
            ),
        ],
    },
];

/// May describe the topics, and read nothing.
pub(super) const SEES: Granted = Granted {
    user: "sees",
    service: "",
    arguments: &[],
    rights: &[(
        Describe,
        &[
            OrderStatus,
            OrderStatusDlq,
            OrderStatusStates,
            Vouchers,
            VouchersDlq,
            VouchersStates,
        ],
    )],
};

/// May preview a backfill, but not describe the live groups that it gives way to.
pub(super) const READS: Granted = Granted {
    user: "reads",
    service: "processor",
    arguments: &["backfill", "--dry-run"],
    rights: &[(Read, &[OrderStatus, Vouchers])],
};

/// Has no rights.
pub(super) const NOBODY: &str = "nobody";
