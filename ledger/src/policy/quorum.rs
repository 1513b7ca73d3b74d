//! The arithmetic of witnesses and groups.

/// A witness or group, by its place in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Member {
    Group(usize),
    Witness(usize),
}

/// A group: met when at least `threshold` members are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) threshold: usize,
    pub(super) members: Vec<Member>,
}

/// True if the witnesses that have a time satisfy `quorum`.
pub(super) fn is_met(quorum: Option<Member>, groups: &[Group], times: &[Option<u64>]) -> bool {
    let mut met: Vec<bool> = Vec::with_capacity(groups.len());
    // A group names only groups defined above it, so one pass in file order sees every member decided.
    for group in groups {
        let count = group.members.iter().filter(|member| decided(**member, &met, times)).count();
        met.push(count >= group.threshold);
    }
    quorum.is_none_or(|member| decided(member, &met, times))
}

fn decided(member: Member, groups: &[bool], times: &[Option<u64>]) -> bool {
    match member {
        Member::Group(place) => groups.get(place).copied().unwrap_or(false),
        Member::Witness(place) => times.get(place).is_some_and(Option::is_some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_groups_count_their_members() {
        let witness = Member::Witness;
        let groups = [
            Group { threshold: 2, members: vec![witness(0), witness(1), witness(2)] },
            Group { threshold: 1, members: vec![witness(3), witness(4)] },
            Group { threshold: 2, members: vec![Member::Group(0), Member::Group(1)] },
        ];
        let met = |present: [u8; 5], quorum| {
            let times: Vec<Option<u64>> = present.iter().map(|one| (*one == 1).then_some(9)).collect();
            is_met(quorum, &groups, &times)
        };
        assert!(met([1, 0, 1, 0, 1], Some(Member::Group(2))));
        assert!(!met([1, 0, 0, 1, 1], Some(Member::Group(2))));
        assert!(!met([1, 1, 1, 0, 0], Some(Member::Group(2))));
        assert!(met([0, 0, 0, 0, 1], Some(witness(4))));
        assert!(!met([1, 1, 1, 1, 0], Some(witness(4))));
        assert!(met([0; 5], None));
    }
}
