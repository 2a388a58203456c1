//! Log entries between their stored and wire form and the types of the group.

use std::collections::{BTreeMap, BTreeSet};

use cairn_proto::ids::{CommandId, MasterId};
use cairn_proto::wire;
use cairn_proto::wire::entry::Payload;
use cairn_proto::wire::expected::State;
use cairn_proto::wire::operation::Operation as WireOperation;
use openraft::EntryPayload;
use prost::Message;

use super::super::{CommandNumber, Epoch, Expected, Operation, Proposal};
use super::convert::{InvalidMessage, log_id_from_wire, log_id_to_wire};
use super::logged_command::LoggedCommand;
use super::{Entry, Membership, Peer};

pub(super) fn entry_to_wire(entry: &Entry) -> wire::Entry {
    let payload = match &entry.payload {
        EntryPayload::Blank => Payload::Blank(wire::Blank {}),
        EntryPayload::Normal(command) => Payload::Command(command.encoded().clone()),
        EntryPayload::Membership(membership) => Payload::Membership(membership_to_wire(membership)),
    };
    wire::Entry { log_id: Some(log_id_to_wire(&entry.log_id)), payload: Some(payload) }
}

pub(super) fn entry_from_wire(entry: wire::Entry) -> Result<Entry, InvalidMessage> {
    let log_id = entry.log_id.as_ref().map(log_id_from_wire).ok_or_else(|| InvalidMessage::missing("log_id"))?;
    let payload = match entry.payload.ok_or_else(|| InvalidMessage::missing("payload"))? {
        Payload::Blank(_) => EntryPayload::Blank,
        Payload::Command(encoded) => {
            let command = wire::Command::decode(encoded.clone()).map_err(|error| undecodable(&error))?;
            EntryPayload::Normal(LoggedCommand::new(proposal_from_wire(command)?, encoded))
        }
        Payload::Membership(membership) => EntryPayload::Membership(membership_from_wire(membership)?),
    };
    Ok(Entry { log_id, payload })
}

/// A command for the log, encoded once for all who keep it or get it.
pub(crate) fn logged(proposal: Proposal) -> LoggedCommand {
    let encoded = proposal_to_wire(&proposal).encode_to_vec();
    LoggedCommand::new(proposal, encoded.into())
}

pub(super) fn proposal_to_wire(proposal: &Proposal) -> wire::Command {
    let number = proposal.number;
    wire::Command {
        sequence: number.map_or(0, CommandNumber::sequence),
        lowest_unanswered: number.map_or(0, CommandNumber::lowest_unanswered),
        leader: proposal.leader.to_wire(),
        lease_epoch: proposal.epoch.0,
        command_id: proposal.id.to_wire(),
        operations: proposal.operations.iter().map(operation_to_wire).collect(),
    }
}

pub(super) fn proposal_from_wire(command: wire::Command) -> Result<Proposal, InvalidMessage> {
    let number = (command.sequence != 0 || command.lowest_unanswered != 0)
        .then(|| CommandNumber::new(command.sequence, command.lowest_unanswered))
        .transpose()
        .map_err(|error| InvalidMessage::new(error.to_string()))?;
    Ok(Proposal {
        number,
        leader: MasterId::from_wire(&command.leader).map_err(|error| InvalidMessage::new(error.to_string()))?,
        epoch: Epoch(command.lease_epoch),
        id: CommandId::from_wire(&command.command_id).map_err(|error| InvalidMessage::new(error.to_string()))?,
        operations: command.operations.into_iter().map(operation_from_wire).collect::<Result<_, _>>()?,
    })
}

fn operation_to_wire(operation: &Operation) -> wire::Operation {
    let operation = match operation.clone() {
        Operation::Put { key, value } => WireOperation::Put(wire::Put { key, value }),
        Operation::PutIf { key, value, expected } => {
            WireOperation::PutIf(wire::PutIf { key, value, expected: Some(expected_to_wire(expected)) })
        }
        Operation::If { key, expected } => {
            WireOperation::If(wire::If { key, expected: Some(expected_to_wire(expected)) })
        }
        Operation::Delete { key } => WireOperation::Delete(wire::DeleteKey { key }),
        Operation::Append { key, suffix } => WireOperation::Append(wire::Append { key, suffix }),
        Operation::PutAtIndex { prefix, value } => WireOperation::PutAtIndex(wire::PutAtIndex { prefix, value }),
    };
    wire::Operation { operation: Some(operation) }
}

fn operation_from_wire(operation: wire::Operation) -> Result<Operation, InvalidMessage> {
    Ok(match operation.operation.ok_or_else(|| InvalidMessage::missing("operation"))? {
        WireOperation::Put(put) => Operation::Put { key: put.key, value: put.value },
        WireOperation::PutIf(put) => {
            Operation::PutIf { key: put.key, value: put.value, expected: expected_from_wire(put.expected)? }
        }
        WireOperation::If(condition) => {
            Operation::If { key: condition.key, expected: expected_from_wire(condition.expected)? }
        }
        WireOperation::Delete(delete) => Operation::Delete { key: delete.key },
        WireOperation::Append(append) => Operation::Append { key: append.key, suffix: append.suffix },
        WireOperation::PutAtIndex(put) => Operation::PutAtIndex { prefix: put.prefix, value: put.value },
    })
}

fn expected_to_wire(expected: Expected) -> wire::Expected {
    let state = match expected {
        Expected::Absent => State::Absent(true),
        Expected::Present => State::Present(true),
        Expected::Version(version) => State::Version(version),
        Expected::Value(value) => State::Value(value),
        Expected::AtMostBytes(limit) => State::AtMostBytes(limit),
    };
    wire::Expected { state: Some(state) }
}

fn expected_from_wire(expected: Option<wire::Expected>) -> Result<Expected, InvalidMessage> {
    match expected.and_then(|expected| expected.state) {
        Some(State::Absent(true)) => Ok(Expected::Absent),
        Some(State::Present(true)) => Ok(Expected::Present),
        Some(State::Version(version)) => Ok(Expected::Version(version)),
        Some(State::Value(value)) => Ok(Expected::Value(value)),
        Some(State::AtMostBytes(limit)) => Ok(Expected::AtMostBytes(limit)),
        Some(State::Absent(false) | State::Present(false)) | None => Err(InvalidMessage::missing("expected state")),
    }
}

fn undecodable(error: &prost::DecodeError) -> InvalidMessage {
    InvalidMessage::new(format!("a command does not parse: {error}"))
}

pub(super) fn membership_to_wire(membership: &Membership) -> wire::Membership {
    let voters = membership.get_joint_config().iter();
    let members = membership.nodes().map(|(master, peer)| wire::Member {
        master: *master,
        address: peer.address.clone(),
        name: peer.name.clone(),
        disk: peer.disk.to_wire(),
    });
    wire::Membership {
        voters: voters.map(|set| wire::VoterSet { masters: set.iter().copied().collect() }).collect(),
        members: members.collect(),
    }
}

pub(super) fn membership_from_wire(membership: wire::Membership) -> Result<Membership, InvalidMessage> {
    let voters: Vec<BTreeSet<u64>> =
        membership.voters.into_iter().map(|set| set.masters.into_iter().collect()).collect();
    let members = membership.members.into_iter().map(|member| {
        let disk = MasterId::from_wire(&member.disk).map_err(|error| InvalidMessage::new(error.to_string()))?;
        Ok((member.master, Peer { name: member.name, address: member.address, disk }))
    });
    let members: BTreeMap<u64, Peer> = members.collect::<Result<_, InvalidMessage>>()?;
    Membership::new(voters, members).map_err(|error| InvalidMessage::new(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use bytes::Bytes;
    use cairn_proto::ids::{CommandId, MasterId};
    use cairn_proto::wire;
    use openraft::EntryPayload;
    use prost::Message;

    use super::super::super::{CommandNumber, Epoch, Expected, Operation, Proposal};
    use super::super::{Entry, Membership, Peer};
    use super::{entry_from_wire, entry_to_wire, logged, proposal_to_wire};
    use crate::store::raft::convert::log_id_from_wire;

    fn operations() -> Vec<Operation> {
        let bytes = Bytes::from_static;
        vec![
            Operation::Put { key: bytes(b"a"), value: bytes(b"1") },
            Operation::PutIf { key: bytes(b"b"), value: bytes(b"2"), expected: Expected::Absent },
            Operation::If { key: bytes(b"c"), expected: Expected::Present },
            Operation::If { key: bytes(b"d"), expected: Expected::Version(0) },
            Operation::If { key: bytes(b"e"), expected: Expected::Value(bytes(b"")) },
            Operation::Delete { key: bytes(b"f") },
            Operation::Append { key: bytes(b"g"), suffix: bytes(b"3") },
            Operation::PutAtIndex { prefix: bytes(b"h"), value: bytes(b"4") },
        ]
    }

    fn proposal() -> Proposal {
        Proposal {
            number: Some(CommandNumber::new(9, 7).unwrap()),
            leader: MasterId::generate(),
            epoch: Epoch(5),
            id: CommandId::generate(),
            operations: operations(),
        }
    }

    #[test]
    fn every_kind_of_entry_survives_the_wire() {
        let (name, address) = ("master-1".to_owned(), "127.0.0.1:1".to_owned());
        let peer = Peer { name, address, disk: MasterId::generate() };
        let membership =
            Membership::new(vec![BTreeSet::from([1])], BTreeMap::from([(1, peer.clone()), (2, peer)])).unwrap();
        let command = EntryPayload::Normal(logged(proposal()));
        for payload in [EntryPayload::Blank, command, EntryPayload::Membership(membership)] {
            let log_id = log_id_from_wire(&wire::LogId { term: 3, master: 2, index: 9 });
            let entry = Entry { log_id, payload };
            assert_eq!(entry_from_wire(entry_to_wire(&entry)).unwrap(), entry);
        }
    }

    /// What stands in logs that were written when the command was a message within the entry.
    #[test]
    fn an_entry_has_its_command_as_a_message() {
        let proposal = proposal();
        let log_id = log_id_from_wire(&wire::LogId { term: 3, master: 2, index: 9 });
        let payload = EntryPayload::Normal(logged(proposal.clone()));
        let written = entry_to_wire(&Entry { log_id, payload }).encode_to_vec();
        let command = proposal_to_wire(&proposal).encode_to_vec();
        let wire_type_of_bytes = 2;
        let mut field = vec![(3 << 3) | wire_type_of_bytes];
        prost::encoding::encode_varint(command.len() as u64, &mut field);
        field.extend(command);
        assert!(written.ends_with(&field));
    }

    #[test]
    fn entries_with_missing_parts_are_refused() {
        let log_id = Some(wire::LogId { term: 1, master: 1, index: 1 });
        let command = |operation| wire::Command {
            sequence: 1,
            lowest_unanswered: 1,
            leader: MasterId::generate().to_wire(),
            lease_epoch: 1,
            command_id: CommandId::generate().to_wire(),
            operations: vec![wire::Operation { operation }],
        };
        let condition = wire::operation::Operation::If(wire::If { key: Bytes::new(), expected: None });
        let single = |command: wire::Command| Some(wire::entry::Payload::Command(command.encode_to_vec().into()));
        for payload in [
            None,
            single(wire::Command::default()),
            single(command(None)),
            single(command(Some(condition))),
            Some(wire::entry::Payload::Command(Bytes::from_static(b"\xff"))),
        ] {
            entry_from_wire(wire::Entry { log_id, payload }).unwrap_err();
        }
        let blank = Some(wire::entry::Payload::Blank(wire::Blank {}));
        entry_from_wire(wire::Entry { log_id: None, payload: blank }).unwrap_err();
    }
}
