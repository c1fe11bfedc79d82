//! One value for each role.

use crate::record::Role;

/// One value for the baseline, one for the candidate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pair<T> {
    pub(super) baseline: T,
    pub(super) candidate: T,
}

impl<T> Pair<T> {
    /// Makes both values, that of `first` first.
    pub(super) fn try_new<E>(
        first: Role,
        mut make: impl FnMut(Role) -> Result<T, E>,
    ) -> Result<Self, E> {
        let one = make(first)?;
        let other = make(first.other())?;
        Ok(match first {
            Role::Baseline => Self {
                baseline: one,
                candidate: other,
            },
            Role::Candidate => Self {
                baseline: other,
                candidate: one,
            },
        })
    }

    pub(super) fn of(&self, role: Role) -> &T {
        match role {
            Role::Baseline => &self.baseline,
            Role::Candidate => &self.candidate,
        }
    }

    pub(super) fn of_mut(&mut self, role: Role) -> &mut T {
        match role {
            Role::Baseline => &mut self.baseline,
            Role::Candidate => &mut self.candidate,
        }
    }
}

/// Both roles, `first` first.
pub(super) fn turns(first: Role) -> [Role; 2] {
    [first, first.other()]
}
