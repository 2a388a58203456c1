use cairn_proto::ids::{ClusterId, InvalidId, MasterId};
use cairn_proto::wire;
use cairn_proto::wire::MemberStanding;

use super::Member;

/// Who a master is, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Introduction {
    /// Its Raft id, name and address.
    pub(crate) member: Member,
    /// Its disk.
    pub(crate) disk: MasterId,
    /// Its cluster, once it has one.
    pub(crate) cluster: Option<ClusterId>,
    /// Ids of the masters that it is to found a group with, in rising order; none: it waits to be added to one.
    pub(crate) founders: Vec<u64>,
    /// Its disk has been part of a group.
    pub(crate) grouped: bool,
}

/// The answer to an introduction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Introduced {
    /// Who answers.
    pub(crate) introduction: Introduction,
    /// What the asking master is to the group of the answering one.
    pub(crate) standing: MemberStanding,
}

/// An introduction that no master gives.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidIntroduction {
    #[error(transparent)]
    Id(#[from] InvalidId),
    #[error("a field is missing or too long")]
    Field,
}

/// Bytes of a name or an address.
const TEXT_LIMIT_BYTES: usize = 255;
/// Masters that found a group.
const FOUNDERS_LIMIT: usize = 64;

impl Introduction {
    /// From its message, checked.
    pub(crate) fn from_wire(message: Option<wire::Introduction>) -> Result<Self, InvalidIntroduction> {
        let message = message.ok_or(InvalidIntroduction::Field)?;
        let texts = [&message.name, &message.address];
        let sound = texts.iter().all(|text| text.len() <= TEXT_LIMIT_BYTES) && !message.address.is_empty();
        if message.master == 0 || !sound || message.founders.len() > FOUNDERS_LIMIT {
            return Err(InvalidIntroduction::Field);
        }
        Ok(Self {
            member: Member { id: message.master, name: message.name, address: message.address },
            disk: MasterId::from_wire(&message.disk)?,
            cluster: ClusterId::from_wire_opt(&message.cluster)?,
            founders: message.founders,
            grouped: message.grouped,
        })
    }

    /// As its message.
    pub(crate) fn to_wire(&self) -> wire::Introduction {
        wire::Introduction {
            master: self.member.id,
            disk: self.disk.to_wire(),
            name: self.member.name.clone(),
            address: self.member.address.clone(),
            cluster: self.cluster.map(ClusterId::to_wire).unwrap_or_default(),
            founders: self.founders.clone(),
            grouped: self.grouped,
        }
    }
}

impl Introduced {
    /// From its message, checked.
    pub(crate) fn from_wire(message: wire::IntroduceResponse) -> Result<Self, InvalidIntroduction> {
        let standing = MemberStanding::try_from(message.standing).map_err(|_| InvalidIntroduction::Field)?;
        Ok(Self { introduction: Introduction::from_wire(message.introduction)?, standing })
    }
}

#[cfg(test)]
mod tests {
    use cairn_proto::ids::MasterId;
    use cairn_proto::wire;

    use super::{Introduction, Member};

    #[test]
    fn an_introduction_survives_the_wire_and_nonsense_does_not() {
        let introduction = Introduction {
            member: Member { id: 4, name: "master-4".to_owned(), address: "a:1".to_owned() },
            disk: MasterId::generate(),
            cluster: None,
            founders: vec![1, 4],
            grouped: true,
        };
        let good = introduction.to_wire();
        assert_eq!(Introduction::from_wire(Some(good.clone())), Ok(introduction));
        for bad in [
            None,
            Some(wire::Introduction { master: 0, ..good.clone() }),
            Some(wire::Introduction { address: String::new(), ..good.clone() }),
            Some(wire::Introduction { name: "x".repeat(256), ..good.clone() }),
            Some(wire::Introduction { founders: vec![1; 65], ..good.clone() }),
            Some(wire::Introduction { disk: "short".into(), ..good.clone() }),
        ] {
            Introduction::from_wire(bad.clone()).expect_err(&format!("{bad:?}"));
        }
    }
}
