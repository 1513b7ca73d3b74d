//! The one builder of system call filters (seccomp BPF).
//!
//! Guarantee: a filter is a list of calls, some only with certain arguments, and one answer for all other
//! calls. It holds for every thread of the process. Not here: which calls a process gets
//! ([`crate::Profile`]).

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

/// A condition on one argument of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Argument {
    number: u8,
    comparison: Comparison,
    value: u64,
}

#[derive(Debug, Clone, Copy)]
enum Comparison {
    Equal,
    NotEqual,
    /// The bits of the mask.
    Masked(u64),
}

impl Argument {
    pub(crate) const fn is(number: u8, value: libc::c_int) -> Self {
        Self { number, comparison: Comparison::Equal, value: flag(value) }
    }

    pub(crate) const fn is_not(number: u8, value: libc::c_int) -> Self {
        Self { number, comparison: Comparison::NotEqual, value: flag(value) }
    }

    /// The bits of `mask` must have this value.
    pub(crate) const fn has_bits(number: u8, mask: libc::c_int, value: libc::c_int) -> Self {
        Self { number, comparison: Comparison::Masked(flag(mask)), value: flag(value) }
    }

    fn condition(self) -> Result<SeccompCondition, BackendError> {
        let operator = match self.comparison {
            Comparison::Equal => SeccompCmpOp::Eq,
            Comparison::NotEqual => SeccompCmpOp::Ne,
            Comparison::Masked(mask) => SeccompCmpOp::MaskedEq(mask),
        };
        SeccompCondition::new(self.number, SeccompCmpArgLen::Dword, operator, self.value)
    }
}

/// A C constant as the kernel compares it; all of ours are small and positive.
const fn flag(value: libc::c_int) -> u64 {
    value.unsigned_abs() as u64
}

/// A filter that is being built.
#[derive(Debug)]
pub(crate) struct Filter {
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    listed: SeccompAction,
    others: SeccompAction,
    first: Vec<First>,
}

/// An answer that depends on the call's number alone and comes before all rules.
#[derive(Debug, Clone, Copy)]
struct First {
    jump: u16,
    number: u32,
    errno: libc::c_int,
}

/// `BPF_JMP | BPF_JEQ | BPF_K`.
const IF_EQUAL: u16 = 0x15;
/// `BPF_JMP | BPF_JGE | BPF_K`.
const IF_AT_LEAST: u16 = 0x35;

impl Filter {
    /// Makes a list of permissions: every call that is not listed fails with EPERM.
    pub(crate) const fn allow_or_refuse() -> Self {
        Self::new(SeccompAction::Allow, SeccompAction::Errno(libc::EPERM.unsigned_abs()))
    }

    /// Makes a list of permissions: every call that is not listed kills the process, so that no return code
    /// can be ignored.
    pub(crate) const fn allow_or_kill() -> Self {
        Self::new(SeccompAction::Allow, SeccompAction::KillProcess)
    }

    /// Makes a list of refusals with EPERM: every call that is not listed is allowed.
    pub(crate) const fn refuse_or_allow() -> Self {
        Self::new(SeccompAction::Errno(libc::EPERM.unsigned_abs()), SeccompAction::Allow)
    }

    const fn new(listed: SeccompAction, others: SeccompAction) -> Self {
        Self { rules: BTreeMap::new(), listed, others, first: Vec::new() }
    }

    /// Lists calls, whatever their arguments.
    pub(crate) fn calls(&mut self, calls: &[libc::c_long]) {
        self.rules.extend(calls.iter().map(|call| (*call, Vec::new())));
    }

    /// Lists a call for the arguments of any of `cases`. All conditions of a case must hold.
    pub(crate) fn call_when(
        &mut self,
        call: libc::c_long,
        cases: impl IntoIterator<Item = Vec<Argument>>,
    ) -> Result<(), BackendError> {
        let rule = |conditions: Vec<Argument>| {
            SeccompRule::new(conditions.into_iter().map(Argument::condition).collect::<Result<_, _>>()?)
        };
        self.rules.insert(call, cases.into_iter().map(rule).collect::<Result<_, _>>()?);
        Ok(())
    }

    /// Answers the call `number` with `errno`, before all rules.
    pub(crate) fn answer(&mut self, number: libc::c_long, errno: libc::c_int) {
        self.first.push(First { jump: IF_EQUAL, number: call_number(number), errno });
    }

    /// Answers every call from `number` on with `errno`, before all rules.
    pub(crate) fn answer_from(&mut self, number: libc::c_long, errno: libc::c_int) {
        self.first.push(First { jump: IF_AT_LEAST, number: call_number(number), errno });
    }

    /// The program for this machine's architecture. A call of another architecture kills the process.
    pub(crate) fn compile(self) -> Result<BpfProgram, BackendError> {
        let architecture =
            if cfg!(target_arch = "aarch64") { TargetArch::aarch64 } else { TargetArch::x86_64 };
        let mut program: BpfProgram =
            SeccompFilter::new(self.rules, self.others, self.listed, architecture)?.try_into()?;
        for first in self.first {
            program.splice(0..0, first.instructions());
        }
        Ok(program)
    }
}

impl First {
    /// `if nr … number return ERRNO(errno)`. It stands before the architecture check: a call of another
    /// architecture then gets the error instead of being killed, which grants nothing. Every later jump is
    /// relative.
    fn instructions(self) -> [seccompiler::sock_filter; 3] {
        const LOAD_WORD: u16 = 0x20;
        const RETURN: u16 = 0x06;
        let instruction = |code: u16, jt: u8, jf: u8, k: u32| seccompiler::sock_filter { code, jt, jf, k };
        [
            instruction(LOAD_WORD, 0, 0, 0),
            instruction(self.jump, 0, 1, self.number),
            instruction(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | self.errno.unsigned_abs()),
        ]
    }
}

#[expect(clippy::expect_used, reason = "our own constants: the kernel's call numbers are 32 bits")]
fn call_number(number: libc::c_long) -> u32 {
    u32::try_from(number).expect("a call number has 32 bits")
}
