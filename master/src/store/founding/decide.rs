use std::collections::BTreeMap;

use cairn_proto::wire::MemberStanding;

use super::super::introduction::{Introduced, Introduction};
use super::super::raft::Peer;

/// What a master that belongs to no group is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Begin a group of these: all have answered, and none has ever been part of one.
    Found(BTreeMap<u64, Peer>),
    /// A group has this disk as a member: its leader will come.
    Belongs,
    /// Ask again.
    Wait(String),
    /// Never take part under this id.
    Refuse(String),
}

/// Decides from who answered. A group that exists anywhere speaks against a new one: its word comes first.
pub(super) fn decide(own: &Introduction, answers: &[Introduced]) -> Verdict {
    let id = own.member.id;
    for answer in answers {
        let who = &answer.introduction.member.name;
        match answer.standing {
            MemberStanding::NoGroup => {}
            MemberStanding::Member => return Verdict::Belongs,
            MemberStanding::OtherDisk => {
                return Verdict::Refuse(format!(
                    "{who} knows another disk as master {id}: this one is new or was wiped. Remove master {id} and add \
                     this instance under an id that was never used (cairn master remove {id}; cairn master add)"
                ));
            }
            MemberStanding::Removed => {
                return Verdict::Refuse(format!(
                    "{who} says that id {id} was used before: give this instance an id that was never used"
                ));
            }
            MemberStanding::Stranger if !own.founders.is_empty() => {
                return Verdict::Refuse(format!(
                    "{who} has a group already, and master {id} is not in it: configure this instance with join \
                     instead of members, and run: cairn master add {}",
                    own.member.address
                ));
            }
            MemberStanding::Stranger => {
                return Verdict::Wait(format!(
                    "waiting to be added to the group of {who}: cairn master add {}",
                    own.member.address
                ));
            }
        }
    }
    if own.founders.is_empty() {
        return Verdict::Wait("waiting for a master of the group to join".to_owned());
    }
    found(own, answers)
}

fn found(own: &Introduction, answers: &[Introduced]) -> Verdict {
    let peer = |introduction: &Introduction| Peer {
        name: introduction.member.name.clone(),
        address: introduction.member.address.clone(),
        disk: introduction.disk,
    };
    let mut members = BTreeMap::from([(own.member.id, peer(own))]);
    for answer in answers.iter().map(|answer| &answer.introduction) {
        if answer.grouped {
            return Verdict::Wait(format!("{} has been part of a group and is still starting", answer.member.name));
        }
        if answer.founders != own.founders {
            let (name, theirs, ours) = (&answer.member.name, &answer.founders, &own.founders);
            return Verdict::Wait(format!("{name} is configured with masters {theirs:?}, this one with {ours:?}"));
        }
        let before = members.insert(answer.member.id, peer(answer));
        if before.is_some_and(|before| before.disk != answer.disk) {
            return Verdict::Wait(format!("two masters say that they are master {}", answer.member.id));
        }
    }
    let missing: Vec<u64> = own.founders.iter().copied().filter(|id| !members.contains_key(id)).collect();
    if !missing.is_empty() {
        return Verdict::Wait(format!("a new group begins when all its masters run; missing: {missing:?}"));
    }
    if members.len() != own.founders.len() {
        return Verdict::Wait("a master answers that is not configured".to_owned());
    }
    Verdict::Found(members)
}

#[cfg(test)]
mod tests {
    use cairn_proto::ids::MasterId;
    use cairn_proto::wire::MemberStanding;

    use super::super::super::Member;
    use super::{Introduced, Introduction, Verdict, decide};

    fn introduction(id: u64, founders: &[u64]) -> Introduction {
        Introduction {
            member: Member { id, name: format!("master-{id}"), address: format!("a:{id}") },
            disk: MasterId::generate(),
            cluster: None,
            founders: founders.to_vec(),
            grouped: false,
        }
    }

    fn answer(id: u64, standing: MemberStanding) -> Introduced {
        Introduced { introduction: introduction(id, &[1, 2, 3]), standing }
    }

    #[test]
    fn a_group_begins_when_all_founders_answer_and_none_knows_of_one() {
        let own = introduction(1, &[1, 2, 3]);
        let (second, third) = (answer(2, MemberStanding::NoGroup), answer(3, MemberStanding::NoGroup));
        let Verdict::Found(members) = decide(&own, &[second.clone(), third.clone()]) else { panic!("not founded") };
        assert_eq!(members.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!((members[&1].disk, members[&2].disk), (own.disk, second.introduction.disk));
        let Verdict::Wait(why) = decide(&own, &[second]) else { panic!("founded without a third") };
        assert!(why.contains("[3]"), "{why}");
    }

    #[test]
    fn one_founder_that_has_been_part_of_a_group_is_enough_to_wait() {
        let own = introduction(1, &[1, 2, 3]);
        let mut third = answer(3, MemberStanding::NoGroup);
        third.introduction.grouped = true;
        let verdict = decide(&own, &[answer(2, MemberStanding::NoGroup), third]);
        assert!(matches!(verdict, Verdict::Wait(_)), "{verdict:?}");
    }

    #[test]
    fn founders_with_other_lists_wait() {
        let own = introduction(1, &[1, 2]);
        let verdict = decide(&own, &[answer(2, MemberStanding::NoGroup)]);
        assert!(matches!(verdict, Verdict::Wait(_)), "{verdict:?}");
    }

    #[test]
    fn the_word_of_a_group_decides() {
        let own = introduction(1, &[1, 2, 3]);
        let blank = answer(2, MemberStanding::NoGroup);
        let with = |standing| decide(&own, &[blank.clone(), answer(3, standing)]);
        assert_eq!(with(MemberStanding::Member), Verdict::Belongs);
        for standing in [MemberStanding::OtherDisk, MemberStanding::Removed, MemberStanding::Stranger] {
            assert!(matches!(with(standing), Verdict::Refuse(_)), "{standing:?}");
        }
    }

    #[test]
    fn a_joining_master_founds_nothing_and_waits_to_be_added() {
        let own = introduction(4, &[]);
        let with = |standing| decide(&own, &[answer(1, standing)]);
        assert!(matches!(with(MemberStanding::NoGroup), Verdict::Wait(_)));
        let Verdict::Wait(why) = with(MemberStanding::Stranger) else { panic!("does not wait") };
        assert!(why.contains("cairn master add a:4"), "{why}");
        assert!(matches!(with(MemberStanding::Removed), Verdict::Refuse(_)));
        assert_eq!(with(MemberStanding::Member), Verdict::Belongs);
    }
}
