//! Which reaction each error of the Kafka client requires: one function over call and code, and its table.
//!
//! Owns the mapping. Knows no connection and makes no call. Invariants: an error that may hide a committed transaction
//! is `Unknown`, never "aborted"; a code that is not in the table gets the reaction that can neither lose nor duplicate
//! a record.

use super::ffi::CallError;
use crate::error::{Failure, Reaction, Stage};
use rdkafka::error::RDKafkaErrorCode as Code;

/// What the client library says about an error besides its code.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    /// The client instance can no longer be used.
    pub(super) fatal: bool,
    /// The same call may be repeated.
    pub(super) retriable: bool,
    /// The open transaction can no longer be committed.
    pub(super) requires_abort: bool,
}

/// What the engine must do when `stage` failed with `code`.
pub(super) fn classify(stage: Stage, code: Code, flags: Flags) -> Reaction {
    match stage {
        Stage::Group => group(code, flags),
        Stage::Fetch => fetch(code),
        Stage::OffsetFetch => offset_fetch(code),
        Stage::Init => init(code, flags),
        Stage::Produce => produce(code, flags),
        Stage::SendOffsets => send_offsets(code, flags),
        Stage::Commit | Stage::Abort if flags.retriable && !flags.fatal => Reaction::RetrySame,
        // The library itself retries the request that ends a transaction. So even a refusal may follow an earlier
        // answer that was lost and that granted it.
        Stage::Commit => Reaction::Unknown,
        Stage::Begin | Stage::Abort => Reaction::RecreateProducer,
    }
}

/// The same for an error object, as a failure with its message.
pub(super) fn failure(stage: Stage, error: &CallError) -> Failure {
    let CallError { code, fatal, retriable, requires_abort, ref message } = *error;
    let reaction = classify(stage, code, Flags { fatal, retriable, requires_abort });
    Failure::new(stage, reaction, format!("{message} ({code:?})"))
}

fn group(code: Code, flags: Flags) -> Reaction {
    match code {
        Code::FencedInstanceId => Reaction::Exit,
        Code::GroupAuthorizationFailed
        | Code::TopicAuthorizationFailed
        | Code::InconsistentGroupProtocol
        | Code::InvalidGroupId
        | Code::InvalidSessionTimeout
        | Code::GroupMaxSizeReached
        | Code::InvalidTopic
        | Code::UnsupportedVersion
        | Code::UnsupportedFeature => Reaction::StopPipeline,
        // A subscribed topic was deleted: that is noticed, and reported, where topics are looked for.
        Code::UnknownTopic | Code::UnknownTopicOrPartition => Reaction::RetrySame,
        _ if flags.fatal => Reaction::StopPipeline,
        _ => Reaction::RetrySame,
    }
}

fn fetch(code: Code) -> Reaction {
    match code {
        Code::OffsetOutOfRange
        | Code::AutoOffsetReset
        | Code::LogTruncation
        | Code::BadMessage
        | Code::BadCompression
        | Code::InvalidMessage
        | Code::UnsupportedCompressionType
        | Code::NotImplemented
        | Code::MessageSizeTooLarge
        | Code::UnknownTopic
        | Code::UnknownPartition
        | Code::UnknownTopicOrPartition
        | Code::InvalidTopic
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed => Reaction::StopPipeline,
        _ => Reaction::RetrySame,
    }
}

fn offset_fetch(code: Code) -> Reaction {
    match code {
        Code::GroupAuthorizationFailed
        | Code::TopicAuthorizationFailed
        | Code::InvalidGroupId
        | Code::UnsupportedFeature
        | Code::UnsupportedVersion => Reaction::StopPipeline,
        Code::FencedInstanceId | Code::UnknownMemberId => Reaction::CloseTasks,
        _ => Reaction::RetrySame,
    }
}

fn init(code: Code, flags: Flags) -> Reaction {
    match code {
        Code::TransactionalIdAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::InvalidTransactionTimeout
        | Code::UnsupportedFeature
        | Code::UnsupportedVersion
        | Code::NotConfigured
        | Code::SaslAuthenticationFailed => Reaction::StopPipeline,
        _ if flags.fatal => Reaction::RecreateProducer,
        // The last one: another process with this id begins one transaction after another.
        Code::State
        | Code::Fenced
        | Code::ProducerFenced
        | Code::InvalidProducerEpoch
        | Code::ConcurrentTransactions => Reaction::RecreateProducer,
        _ => Reaction::RetrySame,
    }
}

fn produce(code: Code, flags: Flags) -> Reaction {
    match code {
        Code::MessageSizeTooLarge
        | Code::MessageBatchTooLarge
        | Code::InvalidMessageSize
        | Code::InvalidMessage
        | Code::InvalidRecord
        | Code::InvalidTimestamp
        | Code::UnknownTopic
        | Code::UnknownPartition
        | Code::UnknownTopicOrPartition
        | Code::InvalidTopic
        | Code::TopicAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::PolicyViolation
        | Code::InvalidRequiredAcks
        | Code::UnsupportedForMessageFormat
        | Code::UnsupportedCompressionType => Reaction::StopPipeline,
        Code::QueueFull => Reaction::RetrySame,
        _ if flags.fatal => Reaction::RecreateProducer,
        Code::Fatal | Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch => {
            Reaction::RecreateProducer
        }
        _ => Reaction::AbortReplay,
    }
}

/// The end of the transaction has not been requested yet, so nothing here can have been committed.
fn send_offsets(code: Code, flags: Flags) -> Reaction {
    match code {
        Code::GroupAuthorizationFailed
        | Code::TopicAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::OffsetMetadataTooLarge
        | Code::InvalidCommitOffsetSize
        | Code::UnsupportedForMessageFormat
        | Code::UnsupportedFeature => Reaction::StopPipeline,
        // Expelled, or our name is held by another member id. The group will report whether that is a newer process.
        Code::UnknownMemberId | Code::FencedInstanceId | Code::AssignmentLost => Reaction::CloseTasks,
        _ if flags.fatal => Reaction::RecreateProducer,
        Code::Fatal | Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch | Code::State => {
            Reaction::RecreateProducer
        }
        _ => Reaction::AbortReplay,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Flags = Flags { fatal: false, retriable: false, requires_abort: false };
    const FATAL: Flags = Flags { fatal: true, ..NONE };
    const RETRY: Flags = Flags { retriable: true, ..NONE };
    const ABORT: Flags = Flags { requires_abort: true, ..NONE };

    fn check(table: &[(Stage, Code, Flags, Reaction)]) {
        for (stage, code, flags, want) in table {
            assert_eq!(classify(*stage, *code, *flags), *want, "{stage:?} {code:?} {flags:?}");
        }
    }

    #[test]
    fn reactions_to_errors_when_reading() {
        use Reaction as R;
        use Stage as S;
        check(&[
            (S::Group, Code::FencedInstanceId, FATAL, R::Exit),
            (S::Group, Code::FencedInstanceId, NONE, R::Exit),
            (S::Group, Code::AllBrokersDown, NONE, R::RetrySame),
            (S::Group, Code::BrokerTransportFailure, NONE, R::RetrySame),
            (S::Group, Code::PollExceeded, NONE, R::RetrySame),
            (S::Group, Code::IllegalGeneration, NONE, R::RetrySame),
            (S::Group, Code::GroupAuthorizationFailed, NONE, R::StopPipeline),
            (S::Group, Code::UnknownTopicOrPartition, NONE, R::RetrySame),
            (S::Group, Code::InconsistentGroupProtocol, NONE, R::StopPipeline),
            (S::Group, Code::InvalidSessionTimeout, NONE, R::StopPipeline),
            (S::Group, Code::InvalidRequest, FATAL, R::StopPipeline),
            (S::Fetch, Code::AutoOffsetReset, NONE, R::StopPipeline),
            (S::Fetch, Code::OffsetOutOfRange, NONE, R::StopPipeline),
            (S::Fetch, Code::LogTruncation, NONE, R::StopPipeline),
            (S::Fetch, Code::BadMessage, NONE, R::StopPipeline),
            (S::Fetch, Code::UnknownTopicOrPartition, NONE, R::StopPipeline),
            (S::Fetch, Code::TopicAuthorizationFailed, NONE, R::StopPipeline),
            (S::Fetch, Code::BrokerTransportFailure, NONE, R::RetrySame),
            (S::Fetch, Code::NotLeaderForPartition, NONE, R::RetrySame),
            (S::Fetch, Code::KafkaStorageError, NONE, R::RetrySame),
            (S::OffsetFetch, Code::OperationTimedOut, NONE, R::RetrySame),
            (S::OffsetFetch, Code::UnstableOffsetCommit, NONE, R::RetrySame),
            (S::OffsetFetch, Code::WaitingForCoordinator, NONE, R::RetrySame),
            (S::OffsetFetch, Code::NotCoordinator, NONE, R::RetrySame),
            (S::OffsetFetch, Code::UnknownMemberId, NONE, R::CloseTasks),
            (S::OffsetFetch, Code::GroupAuthorizationFailed, NONE, R::StopPipeline),
        ]);
    }

    #[test]
    fn reactions_to_errors_when_writing() {
        use Reaction as R;
        use Stage as S;
        check(&[
            (S::Init, Code::OperationTimedOut, RETRY, R::RetrySame),
            (S::Init, Code::ConcurrentTransactions, RETRY, R::RecreateProducer),
            (S::Init, Code::CoordinatorNotAvailable, RETRY, R::RetrySame),
            (S::Init, Code::Fenced, FATAL, R::RecreateProducer),
            (S::Init, Code::InvalidProducerEpoch, NONE, R::RecreateProducer),
            (S::Init, Code::TransactionalIdAuthorizationFailed, FATAL, R::StopPipeline),
            (S::Init, Code::InvalidTransactionTimeout, FATAL, R::StopPipeline),
            (S::Begin, Code::State, NONE, R::RecreateProducer),
            (S::Begin, Code::Fenced, FATAL, R::RecreateProducer),
            (S::Produce, Code::MessageSizeTooLarge, NONE, R::StopPipeline),
            (S::Produce, Code::UnknownTopicOrPartition, NONE, R::StopPipeline),
            (S::Produce, Code::UnknownPartition, NONE, R::StopPipeline),
            (S::Produce, Code::TopicAuthorizationFailed, ABORT, R::StopPipeline),
            (S::Produce, Code::QueueFull, NONE, R::RetrySame),
            (S::Produce, Code::MessageTimedOut, NONE, R::AbortReplay),
            (S::Produce, Code::NotEnoughReplicas, NONE, R::AbortReplay),
            (S::Produce, Code::PurgeQueue, NONE, R::AbortReplay),
            (S::Produce, Code::UnknownProducerId, ABORT, R::AbortReplay),
            (S::Produce, Code::InvalidProducerIdMapping, ABORT, R::AbortReplay),
            (S::Produce, Code::Fenced, FATAL, R::RecreateProducer),
            (S::Produce, Code::Fatal, NONE, R::RecreateProducer),
            (S::Produce, Code::InvalidTransactionalState, FATAL, R::RecreateProducer),
            (S::SendOffsets, Code::IllegalGeneration, ABORT, R::AbortReplay),
            (S::SendOffsets, Code::RebalanceInProgress, ABORT, R::AbortReplay),
            (S::SendOffsets, Code::OperationTimedOut, ABORT, R::AbortReplay),
            (S::SendOffsets, Code::CoordinatorNotAvailable, RETRY, R::AbortReplay),
            (S::SendOffsets, Code::UnknownMemberId, ABORT, R::CloseTasks),
            (S::SendOffsets, Code::FencedInstanceId, ABORT, R::CloseTasks),
            (S::SendOffsets, Code::Fenced, FATAL, R::RecreateProducer),
            (S::SendOffsets, Code::InvalidProducerIdMapping, FATAL, R::RecreateProducer),
            (S::SendOffsets, Code::InvalidTransactionalState, FATAL, R::RecreateProducer),
            (S::SendOffsets, Code::OffsetMetadataTooLarge, ABORT, R::StopPipeline),
            (S::SendOffsets, Code::GroupAuthorizationFailed, ABORT, R::StopPipeline),
            (S::Commit, Code::OperationTimedOut, RETRY, R::RetrySame),
            (S::Commit, Code::OperationTimedOut, NONE, R::Unknown),
            (S::Commit, Code::Fenced, FATAL, R::Unknown),
            (S::Commit, Code::InvalidTransactionalState, FATAL, R::Unknown),
            (S::Commit, Code::UnknownProducerId, ABORT, R::Unknown),
            (S::Commit, Code::TransactionalIdAuthorizationFailed, FATAL, R::Unknown),
            (S::Commit, Code::OperationTimedOut, Flags { fatal: true, ..RETRY }, R::Unknown),
            (S::Abort, Code::OperationTimedOut, RETRY, R::RetrySame),
            (S::Abort, Code::Fenced, FATAL, R::RecreateProducer),
            (S::Abort, Code::InvalidTransactionalState, NONE, R::RecreateProducer),
        ]);
    }

    /// Checks every code that librdkafka knows against the rules that hold for all of them.
    #[test]
    fn no_code_breaks_the_rules() {
        for raw in (-200..=-100).chain(-1..=112) {
            let Ok(native) = rdkafka_sys::rd_kafka_resp_err_t::try_from(raw) else { continue };
            let code = Code::from(native);
            for flags in [NONE, FATAL, RETRY, ABORT] {
                let at = |stage| classify(stage, code, flags);
                let commit = at(Stage::Commit);
                assert!(matches!(commit, Reaction::Unknown | Reaction::RetrySame), "{code:?}");
                assert!(flags.retriable || commit == Reaction::Unknown, "{code:?}");
                // Only the group knows whether a newer process has taken our name.
                for stage in [Stage::Init, Stage::Begin, Stage::Produce, Stage::SendOffsets, Stage::Abort] {
                    assert!(!matches!(at(stage), Reaction::Exit | Reaction::Unknown), "{stage:?} {code:?}");
                }
                // After a fatal error the same producer is never used again.
                if flags.fatal {
                    for stage in [Stage::Init, Stage::Begin, Stage::Abort] {
                        assert_ne!(at(stage), Reaction::RetrySame, "{stage:?} {code:?}");
                    }
                    for stage in [Stage::SendOffsets, Stage::Produce] {
                        assert_ne!(at(stage), Reaction::AbortReplay, "{stage:?} {code:?}");
                    }
                }
            }
        }
    }
}
